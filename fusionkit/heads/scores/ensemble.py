"""Ensemble averaging; what is averaged is in the name."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, final

from torch import Tensor

from fusionkit import Features, FusionHead, HeadInput
from fusionkit.heads.parts.scores import BranchScores
from fusionkit.heads.parts.temperatures import BranchTemperatures, Temperature
from fusionkit.heads.parts.weights import BranchWeights, Weights

__all__ = ["Averaging", "MeanLogProbabilities", "MeanLogits", "MeanProbabilities"]


class Averaging(FusionHead):
    """Turns each branch into scores of its own and averages them.

    A branch whose stock classifier has ``num_classes`` classes is read by its logits; any other
    by its vector, through a new linear layer that the head owns. As many classes are taken to
    be the same classes: where they are others, give the branch ``classifier=False``.

    Branches whose input is absent do not count: the weights of the others are made 1 together.

    With pretrained classifiers only, equal or given weights and given temperatures there is
    nothing to train.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the scores.
        weights: ``"equal"``; a number for each branch, ``{"a": 0.7, "b": 0.3}``, divided by
            their sum; or ``"learned"``, on the simplex and equal at the start.
        temperature: what the scores are divided by before they are averaged: a number, numbers
            by branch, or ``"learned"``, positive and 1 at the start.
        norm: what comes before the new linear layers, so that features of large norm do not
            start with extreme scores: ``"layer"``, ``"batch"``, ``"l2"`` or ``"none"``, one for
            all or by branch.

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
    ) -> None:
        super().__init__()
        self.scores = BranchScores(inputs, num_classes, norm=norm)
        self.temperatures = BranchTemperatures(self.scores.names, temperature)
        self.weights = BranchWeights(self.scores.names, weights)
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


@final
class MeanLogits(Averaging):
    """The mean of the branches' logits (Perrone and Cooper, 1993), also by learned weights.

    Gives Σ w_i z_i / T_i, where z_i are the logits of branch i.

    Note:
        See ``Averaging`` for the options.
    """

    def average(self, scores: Mapping[str, Tensor]) -> Tensor:
        """Gives the weighted mean of the scores."""
        return self.weights.average(scores)


class MeanProbabilities(Averaging):
    """The mean of the branches' probabilities (deep ensembles, arXiv:1612.01474).

    Gives log Σ w_i softmax(z_i / T_i): the softmax of the output is exactly the ensemble's
    probability, and ``cross_entropy`` takes the output as it takes logits.

    Note:
        See ``Averaging`` for the options.
    """

    def average(self, scores: Mapping[str, Tensor]) -> Tensor:
        """Gives the logarithm of the weighted mean of the softmaxes."""
        return self.weights.log_average_exp(_log_softmaxes(scores))


@final
class MeanLogProbabilities(Averaging):
    """The normalised geometric mean of the branches' probabilities (log-linear pool).

    Gives log softmax(Σ w_i log softmax(z_i / T_i)): the softmax of the output is exactly the
    ensemble's probability. It is the probability that the mean of logits has as well; this head
    gives it normalised. A temperature of 1/N for all of N branches makes it their product
    (products of experts, Hinton 2002).

    Note:
        See ``Averaging`` for the options.
    """

    def average(self, scores: Mapping[str, Tensor]) -> Tensor:
        """Gives the weighted mean of the log-probabilities, normalised."""
        return self.weights.average(_log_softmaxes(scores)).log_softmax(-1)


def _log_softmaxes(scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: score.log_softmax(-1) for name, score in scores.items()}
