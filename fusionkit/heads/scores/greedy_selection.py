"""Ensemble selection: branches are added one by one, each as often as it helps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

from fusionkit import Card, ConfigError, HeadInput
from fusionkit.heads.parts.options import check_choice, check_width, is_number
from fusionkit.heads.parts.temperatures import Temperature
from fusionkit.heads.scores.averaging import Averaging, log_softmaxes

__all__ = ["GreedySelection", "select"]

METRICS = ("log_loss", "accuracy")

ROUNDING = 1e-12
"""Of float64: an average of equal members differs from each by less."""


@final
class GreedySelection(Averaging):
    """Greedy ensemble selection with replacement (Caruana et al., ICML 2004).

    Averages the branches' probabilities. ``fusionkit.fit_head`` starts from the best branches,
    adds again and again the one that makes the average best on the samples, with replacement,
    and keeps the best ensemble on the way: each branch's weight is how often it is in it,
    divided by the size. Until then all weights are equal, and gradients train the linear
    layers of branches without a stock classifier.

    What is selected by must be held out: hand over samples that stock classifiers have not
    seen; where the head fits linear layers of its own, it takes their out-of-fold scores.
    Branches whose input is absent do not count.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the scores.
        metric: what is made best: ``"log_loss"``, or ``"accuracy"``, of equal ones that with
            the smaller log loss.
        rounds: the size up to which branches are added.
        start: how many of the best branches it starts from (sorted initialisation).
        bags: how many times it selects from a part of the branches, drawn at random; the
            weights are the mean over all selections. ``None`` selects once from all.
        share: the part of the branches in each bag, two at least.
        temperature: see ``Averaging``.
        norm: see ``Averaging``.
        refit: see ``Averaging``.

    Raises:
        ConfigError: an option's value is wrong.
    """

    fits = True

    card = Card(
        formula="log Σ (n_i / n) softmax(z_i / T_i), n_i chosen one by one",
        papers=("Caruana et al., ICML 2004",),
        reads="scores",
        when="Many branches of unequal strength and some held-out samples: bad ones get no "
        "weight at all. For a few branches, weights='fitted' of the means is as good.",
        each=("classifier", "divide by T_i", "softmax"),
        join="weighted mean",
        after=("log",),
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        metric: str = "log_loss",
        rounds: int = 100,
        start: int = 1,
        bags: int | None = None,
        share: float = 0.5,
        temperature: Temperature = 1.0,
        norm: Any = "layer",
        refit: bool = True,
    ) -> None:
        super().__init__(
            inputs,
            num_classes=num_classes,
            weights="fitted",
            temperature=temperature,
            norm=norm,
            refit=refit,
        )
        self.metric = check_choice("metric", metric, METRICS)
        self.rounds = check_width("rounds", rounds)
        self.start = check_width("start", start)
        self.bags = None if bags is None else check_width("bags", bags)
        if not (is_number(share) and 0 < share <= 1):
            raise ConfigError(
                f"option share takes the part of the branches in each bag, above 0 and up to 1, "
                f"got {share!r}"
            )
        self.share = share

    def average(self, scores: Mapping[str, Tensor]) -> Tensor:
        """Gives the logarithm of the weighted mean of the softmaxes."""
        return self.weights.log_average_exp(log_softmaxes(scores))

    def choose_weights(self, scores: Mapping[str, Tensor], labels: Tensor) -> Tensor:
        """Gives how often each branch is selected, "n", as its mean share over the bags."""
        chances = torch.stack([scores[name].softmax(-1) for name in self.scores.names])
        count = len(chances)
        bags = [torch.arange(count)]
        if self.bags is not None:
            generator = torch.Generator().manual_seed(0)  # the same samples, the same head
            size = min(max(round(self.share * count), 2), count)  # one alone is no choice
            draws = [torch.randperm(count, generator=generator) for _ in range(self.bags)]
            bags = [draw[:size].sort().values for draw in draws]
        counts = torch.zeros(count, dtype=chances.dtype)
        for bag in bags:
            inside = chances[bag.to(chances.device)]
            chosen = select(inside, labels, self.metric, self.rounds, self.start)
            counts[bag] += chosen / chosen.sum()
        return counts.to(chances.device)


def select(chances: Tensor, labels: Tensor, metric: str, rounds: int, start: int) -> Tensor:
    """Gives how often each member is in the best ensemble found greedily, "m".

    Args:
        chances: "m n k", what the members say of samples.
        labels: "n".
        metric: "log_loss" or "accuracy".
        rounds: the largest size.
        start: how many of the best members it starts from.
    """
    alone = _judge(chances, labels, metric)
    order = sorted(range(len(alone)), key=lambda i: alone[i], reverse=True)
    members = order[: min(start, rounds)]
    total = chances[members].sum(0)
    best = max(_judge(total[None] / len(members), labels, metric))
    kept = len(members)
    while len(members) < rounds:
        values = _judge((total + chances) / (len(members) + 1), labels, metric)
        chosen = max(range(len(values)), key=lambda i: values[i])
        members.append(chosen)
        total = total + chances[chosen]
        if _is_better(values[chosen], best):
            best, kept = values[chosen], len(members)
    return torch.tensor(members[:kept]).bincount(minlength=len(chances)).to(torch.float64)


def _is_better(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Tells whether it is better by more than rounding, by which a member repeated may gain."""
    for mine, theirs in zip(one, other, strict=True):
        if abs(mine - theirs) > ROUNDING:
            return mine > theirs
    return False


def _judge(chances: Tensor, labels: Tensor, metric: str) -> list[tuple[float, ...]]:
    """Gives how good each of some ensembles "m n k" is; the larger, the better."""
    of_labels = chances[:, torch.arange(len(labels), device=labels.device), labels]
    losses = of_labels.clamp_min(torch.finfo(chances.dtype).tiny).log().mean(1).tolist()
    if metric == "log_loss":
        return [(loss,) for loss in losses]
    right = (chances.argmax(-1) == labels).double().mean(1).tolist()
    return list(zip(right, losses, strict=True))
