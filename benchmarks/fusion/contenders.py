"""What is compared: each branch alone, and heads, all on the same frozen features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

import fusionkit as fk

__all__ = ["DEFAULT", "Contender", "UnsuitedError", "take"]

STEPS, DECAY = 150, 0.05
RATES = (3e-3, 1e-3, 3e-4)
"""Linear heads want the first, products and convolutions the last."""

BATCH = 16
HELD_OUT = 0.4
DEFAULT = (
    "adaptive", "concat", "greedy_selection", "mean_log_probabilities", "mean_probabilities",
    "stacking",
)  # fmt: skip

Given = Mapping[str, fk.Features]


class UnsuitedError(Exception):
    """A head that has no line in the table, and why."""


class Contender:
    """A head on frozen features.

    Args:
        name: the head's.
        inputs: what each of its branches offers.
        classes: between how many it decides.
        seed: of its parameters and of its batches.

    Attributes:
        rates: the learning rates of which it takes one.

    Raises:
        UnsuitedError: it wants something else.
    """

    def __init__(
        self, name: str, inputs: Mapping[str, fk.HeadInput], classes: int, seed: int
    ) -> None:
        self.seed = seed
        self.rates = RATES
        factory = fk.Catalog.installed().head(name).factory
        self._make = partial(factory, inputs, num_classes=classes)
        try:
            self.head = self._build()
            self.reads = {branch: self._reads(branch, each) for branch, each in inputs.items()}
        except fk.FusionKitError as error:
            raise UnsuitedError(str(error)) from error
        if any(each.logits for each in self.reads.values()):
            raise UnsuitedError("it reads the scores of stock classifiers, which there are not")

    def learn(self, given: Given, labels: Tensor) -> None:
        """Fits the head, or where it cannot be fitted, trains it by gradient.

        All that are trained have the same number of steps, AdamW, a cosine from the rate at which
        they do best on a part of the samples, held out to find it; those that read maps see a few
        samples in each step, the others all.

        Raises:
            UnsuitedError: it can be neither fitted nor trained.
        """
        known = {branch: self._pick(branch, each) for branch, each in given.items()}
        try:
            with torch.no_grad():
                self.head.eval().fit(known, labels)
            return
        except fk.AssemblyError:  # it has nothing to fit
            pass
        if not self.head.trains or not _learning(self.head):
            raise UnsuitedError("it can neither be fitted nor trained on what is given")
        self._train(self._choose_rate(known, labels), known, labels)

    def _choose_rate(self, known: Given, labels: Tensor) -> float:
        """Gives the rate that leaves the least loss on samples that are held out to find it."""
        inside, outside = hold_out(labels, self.seed)
        losses = {}
        for rate in self.rates:
            self._train(rate, take(known, inside), labels[inside])
            losses[rate] = cross_entropy(self._answer(take(known, outside)), labels[outside]).item()
        return min(self.rates, key=losses.__getitem__)

    def _train(self, rate: float, known: Given, labels: Tensor) -> None:
        """Trains a new head."""
        self.head = self._build()
        optimizer = torch.optim.AdamW(_learning(self.head), lr=rate, weight_decay=DECAY)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
        self.head.train()
        for rows in self._batches(len(labels)):
            loss = cross_entropy(self.head(take(known, rows)), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()

    def _build(self) -> fk.FusionHead:
        torch.manual_seed(self.seed)
        head: fk.FusionHead = self._make()
        return head

    def judge(self, given: Given, labels: Tensor) -> float:
        """Gives the share that it gets right."""
        new = {branch: self._pick(branch, each) for branch, each in given.items()}
        return (self._answer(new).argmax(1) == labels).float().mean().item()

    @torch.no_grad()
    def _answer(self, known: Given) -> Tensor:
        self.head.eval()
        count = _count(known)
        parts = torch.arange(count).split(BATCH if self._maps else count)
        return torch.cat([self.head(take(known, rows)) for rows in parts])

    @property
    def _maps(self) -> bool:
        return any(each.maps for each in self.reads.values())

    def _reads(self, branch: str, offered: fk.HeadInput) -> fk.Reads:
        stated = self.head.reads
        stated = stated[branch] if isinstance(stated, Mapping) else stated
        reads = fk.Reads.parse(stated) if isinstance(stated, str) else stated
        return reads.resolve(len(offered.levels))

    def _pick(self, branch: str, given: fk.Features) -> fk.Features:
        """Gives what the head reads of a branch, and no more."""
        reads = self.reads[branch]
        maps = tuple(given.maps[level] for level in reads.levels)
        return fk.Features(given.vector if reads.vector else None, maps)

    def _batches(self, samples: int) -> Iterator[Tensor]:
        """Gives the samples of each step: all, or few in an order drawn anew for each pass."""
        size = min(BATCH, samples) if self._maps else samples
        generator = torch.Generator().manual_seed(self.seed)
        passes: list[Tensor] = []
        for _ in range(STEPS):
            if not passes:
                passes = list(torch.randperm(samples, generator=generator).split(size))
                passes = [rows for rows in passes if len(rows) == size]
            yield passes.pop().sort().values


def hold_out(labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Gives the rows to learn from and those held out, of each class alike."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    held = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        rows = order[labels[order] == label]
        held[rows[: int(len(rows) * HELD_OUT)]] = True
    return (~held).nonzero().squeeze(1), held.nonzero().squeeze(1)


def _count(known: Given) -> int:
    """Gives of how many samples these are."""
    values = (value for each in known.values() for value in (each.vector, *each.maps))
    return next(len(value) for value in values if value is not None)


def _learning(head: fk.FusionHead) -> list[torch.nn.Parameter]:
    return [each for each in head.parameters() if each.requires_grad]


def take(given: Given, rows: Tensor) -> dict[str, fk.Features]:
    """Gives some samples of each branch."""
    return {
        branch: fk.Features(
            None if each.vector is None else each.vector[rows],
            tuple(value[rows] for value in each.maps),
        )
        for branch, each in given.items()
    }
