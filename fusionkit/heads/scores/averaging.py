"""``Averaging``: what the heads share that average or multiply the branches' scores."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fusionkit import AssemblyError, Features, FusionHead, HeadInput
from fusionkit.heads.parts.held_out import fit_classifiers, held_out_scores
from fusionkit.heads.parts.minimise import minimise
from fusionkit.heads.parts.options import check_flag
from fusionkit.heads.parts.scores import BranchScores
from fusionkit.heads.parts.temperatures import BranchTemperatures, Temperature
from fusionkit.heads.parts.weights import BranchWeights, Weights

__all__ = ["Averaging", "log_softmaxes"]


class Averaging(FusionHead):
    """Turns each branch into scores of its own and averages them.

    A branch whose stock classifier has ``num_classes`` classes is read by its logits; any other
    by its vector, through a new linear layer that the head owns. As many classes are taken to
    be the same classes: where they are others, give the branch ``classifier=False``.

    Branches whose input is absent do not count: the weights of the others are made 1 together.

    With pretrained classifiers only, equal or given weights and given temperatures there is
    nothing to train. ``fusionkit.fit_head`` sets, from held-out samples, first the temperatures
    and then the weights that are ``"fitted"``, and the new linear layers: by regularised
    logistic regression, where temperatures and weights see only scores of samples to which the
    layer that gives them was not fitted.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the scores.
        weights: ``"equal"``; a number for each branch, ``{"a": 0.7, "b": 0.3}``, divided by
            their sum, or a list of one for each class; ``"learned"``, on the simplex and equal
            at the start; ``"per_class"``, the same for each class; or ``"fitted"``, equal until
            the fit makes them those of the largest likelihood on the simplex, which is a convex
            problem.
        temperature: what the scores are divided by before they are averaged: a number, numbers
            by branch; ``"learned"``, positive and 1 at the start; or ``"fitted"``, 1 until the
            fit makes each the one of the largest likelihood of its branch, from 0.01 to 100
            (Guo et al., arXiv:1706.04599).
        norm: what comes before the new linear layers, so that features of large norm do not
            start with extreme scores: ``"layer"``, ``"batch"``, ``"l2"`` or ``"none"``, one for
            all or by branch.
        refit: whether a fit sets the new linear layers too. ``False`` keeps those that were
            trained; then hand over samples that they have not seen.

    Raises:
        ConfigError: an option's value is wrong.
    """

    takes_logits = True
    takes_missing = True

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        weights: Weights = "equal",
        temperature: Temperature = 1.0,
        norm: Any = "layer",
        refit: bool = True,
    ) -> None:
        super().__init__()
        self.scores = BranchScores(inputs, num_classes, norm=norm)
        self.temperatures = BranchTemperatures(self.scores.names, temperature)
        self.weights = BranchWeights(self.scores.names, weights, num_classes)
        self.fits = type(self).fits or self.temperatures.fitted or self.weights.fitted
        self.refit = check_flag("refit", refit)
        self.reads = self.scores.reads
        self.symmetric = not self.scores.classifiers

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives "b k" for ``cross_entropy``, in float32 or wider."""
        return self.average(self.temperatures(self.scores(features)))

    def branch_scores(self, features: Mapping[str, Features]) -> dict[str, Tensor]:
        """Gives what each branch says by itself, before any temperature."""
        scores: dict[str, Tensor] = self.scores(features)
        return scores

    @abstractmethod
    def average(self, scores: Mapping[str, Tensor]) -> Tensor:
        """Gives "b k" from one "b k" of unnormalised scores by branch."""

    @torch.no_grad()
    def fit(self, features: Mapping[str, Features], labels: Tensor) -> None:
        """Sets temperatures and weights that are to be fitted, and the new linear layers.

        Raises:
            AssemblyError: there are none of these.
            DataError: new linear layers are to be fitted, and no class has two samples.
        """
        joins = self.temperatures.fitted or self.weights.fitted
        layers = self.refit and bool(self.scores.classifiers)
        if not joins and not layers:
            raise AssemblyError(
                f"{type(self).__name__} has nothing to fit here: write weights='fitted' or "
                "temperature='fitted', or let it fit the linear layers of branches without a "
                "stock classifier (refit=True)"
            )
        if joins:
            held, known = held_out_scores(self.scores, features, labels, refit=self.refit)
            if self.temperatures.fitted:
                self.temperatures.fit(held, known)
            if self.weights.fitted:
                self.weights.set_shares(self.choose_weights(self.temperatures(held), known))
        if layers:
            fit_classifiers(self.scores, features, labels)

    def choose_weights(self, scores: Mapping[str, Tensor], labels: Tensor) -> Tensor:
        """Gives the weights "n" of the largest likelihood, from scores "s k" after temperatures."""
        before = self.weights.log_weights
        assert before is not None

        def loss(logarithms: Tensor) -> Tensor:
            self.weights.log_weights = logarithms
            return F.cross_entropy(self.average(scores), labels)

        try:
            found = minimise(loss, torch.zeros_like(before, dtype=torch.float64))
        finally:
            self.weights.log_weights = before
        return found.softmax(0)


def log_softmaxes(scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gives the log-probabilities "b k" by branch."""
    return {name: score.log_softmax(-1) for name, score in scores.items()}
