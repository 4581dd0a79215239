"""Ensemble averaging; what is averaged is in the name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from torch import Tensor

from fusionkit import Card
from fusionkit.heads.scores.averaging import Averaging, log_softmaxes

__all__ = ["MeanLogProbabilities", "MeanLogits", "MeanProbabilities"]


@final
class MeanLogits(Averaging):
    """The mean of the branches' logits (Perrone and Cooper, 1993), also by learned weights.

    Gives Σ w_i z_i / T_i, where z_i are the logits of branch i.

    Note:
        See ``Averaging`` for the options.
    """

    card = Card(
        formula="Σ w_i z_i / T_i",
        papers=("Perrone and Cooper, 1993",),
        reads="scores",
        when="Branches of about the same strength whose scores have the same scale. The answer "
        "has no normalised probabilities until a softmax; a confident branch decides.",
        each=("classifier", "divide by T_i"),
        join="weighted mean",
    )

    def average(self, scores: Mapping[str, Tensor]) -> Tensor:
        """Gives the weighted mean of the scores."""
        return self.weights.average(scores)


class MeanProbabilities(Averaging):
    """The mean of the branches' probabilities (deep ensembles, arXiv:1612.01474).

    Gives log Σ w_i softmax(z_i / T_i): the softmax of the output is exactly the ensemble's
    probability, and ``cross_entropy`` takes the output as it takes logits. With weights for
    each class the mean is divided by its sum over the classes.

    Note:
        See ``Averaging`` for the options.
    """

    card = Card(
        formula="log Σ w_i softmax(z_i / T_i)",
        papers=("Lakshminarayanan et al., arXiv:1612.01474",),
        reads="scores",
        when="The plain choice for ensembles: no branch can veto a class, so one that is sure "
        "and wrong does least harm. Its probabilities are often too timid.",
        each=("classifier", "divide by T_i", "softmax"),
        join="weighted mean",
        after=("log",),
    )

    def average(self, scores: Mapping[str, Tensor]) -> Tensor:
        """Gives the logarithm of the weighted mean of the softmaxes."""
        mixed = self.weights.log_average_exp(log_softmaxes(scores))
        return mixed.log_softmax(-1) if self.weights.per_class else mixed


@final
class MeanLogProbabilities(Averaging):
    """The normalised geometric mean of the branches' probabilities (log-linear pool).

    Gives log softmax(Σ w_i log softmax(z_i / T_i)): the softmax of the output is exactly the
    ensemble's probability. It is the probability that the mean of logits has as well, unless each
    class has weights of its own; this head gives it normalised. A temperature of 1/N for all of N
    branches makes it their product, which ``product_of_experts`` gives for any number of branches
    that are present.

    Note:
        See ``Averaging`` for the options.
    """

    card = Card(
        formula="log softmax(Σ w_i log softmax(z_i / T_i))",
        papers=(
            "Lakshminarayanan et al., arXiv:1612.01474",
            "Hinton, 2002",
        ),
        reads="scores",
        when="Branches that are calibrated, or made so by temperatures: what any one rules out "
        "is ruled out. A branch that is sure and wrong spoils the answer.",
        each=("classifier", "divide by T_i", "log softmax"),
        join="weighted mean",
        after=("log softmax",),
    )

    def average(self, scores: Mapping[str, Tensor]) -> Tensor:
        """Gives the weighted mean of the log-probabilities, normalised."""
        return self.weights.average(log_softmaxes(scores)).log_softmax(-1)
