"""What is compared: each branch alone, and heads, all on the same frozen features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

import fusionkit as fk

__all__ = ["DEFAULT", "Contender", "UnsuitedError", "take"]

STEPS, RATE, DECAY = 150, 3e-3, 0.05
BATCH = 16
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

    Raises:
        UnsuitedError: it wants something else.
    """

    def __init__(
        self, name: str, inputs: Mapping[str, fk.HeadInput], classes: int, seed: int
    ) -> None:
        torch.manual_seed(seed)
        try:
            self.head = fk.Catalog.installed().head(name).factory(inputs, num_classes=classes)
            self.reads = {branch: self._reads(branch, each) for branch, each in inputs.items()}
        except fk.FusionKitError as error:
            raise UnsuitedError(str(error)) from error
        if any(each.logits for each in self.reads.values()):
            raise UnsuitedError("it reads the scores of stock classifiers, which there are not")
        self.seed = seed

    def learn(self, given: Given, labels: Tensor) -> None:
        """Fits the head, or where it cannot be fitted, trains it by gradient.

        All that are trained have the same number of steps, AdamW, a cosine; those that read maps
        see a few samples in each, the others all.

        Raises:
            UnsuitedError: it can be neither fitted nor trained.
        """
        head = self.head.eval()
        known = {branch: self._pick(branch, each) for branch, each in given.items()}
        try:
            with torch.no_grad():
                head.fit(known, labels)
            return
        except fk.AssemblyError:  # it has nothing to fit
            pass
        learning = [each for each in head.parameters() if each.requires_grad]
        if not head.trains or not learning:
            raise UnsuitedError("it can neither be fitted nor trained on what is given")
        optimizer = torch.optim.AdamW(learning, lr=RATE, weight_decay=DECAY)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
        head.train()
        for rows in self._batches(len(labels)):
            loss = cross_entropy(head(take(known, rows)), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        head.eval()

    @torch.no_grad()
    def judge(self, given: Given, labels: Tensor) -> float:
        """Gives the share that it gets right."""
        new = {branch: self._pick(branch, each) for branch, each in given.items()}
        parts = torch.arange(len(labels)).split(BATCH if self._maps else len(labels))
        answer = torch.cat([self.head(take(new, rows)) for rows in parts])
        return (answer.argmax(1) == labels).float().mean().item()

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


def take(given: Given, rows: Tensor) -> dict[str, fk.Features]:
    """Gives some samples of each branch."""
    return {
        branch: fk.Features(
            None if each.vector is None else each.vector[rows],
            tuple(value[rows] for value in each.maps),
        )
        for branch, each in given.items()
    }
