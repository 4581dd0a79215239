"""The product of the branches' probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any, final

import torch
from torch import Tensor

from fusionkit import Card, HeadInput
from fusionkit.heads.parts.temperatures import Temperature
from fusionkit.heads.scores.averaging import Averaging, log_softmaxes

__all__ = ["ProductOfExperts"]


@final
class ProductOfExperts(Averaging):
    """The normalised product of the branches' probabilities (Hinton, 2002; arXiv:1802.05335).

    Gives log softmax(Σ log softmax(z_i / T_i)): the softmax of the output is exactly the
    product's probability. The mean of log-probabilities divides the sum by the number of
    branches, so that N branches that agree are as sure as one. Here each adds evidence, so that
    they are surer: right where each sees something of its own (and classes are equally
    frequent, this is Bayes' rule for branches that are independent given the class), too sure
    where they see the same. Both find the same class most probable.

    A branch whose input is absent is a factor of 1: it adds no evidence.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the scores.
        temperature: see ``Averaging``.
        norm: see ``Averaging``.
        refit: see ``Averaging``.

    Raises:
        ConfigError: an option's value is wrong.
    """

    card = Card(
        formula="log softmax(Σ log softmax(z_i / T_i))",
        papers=("Hinton, 2002", "Wu and Goodman, arXiv:1802.05335"),
        reads="scores",
        when="Branches that see different things, so that their evidence adds up. Where they "
        "see the same, it is too sure: take mean_log_probabilities, or temperatures.",
        each=("classifier", "divide by T_i", "log softmax"),
        join="sum",
        after=("log softmax",),
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        temperature: Temperature = 1.0,
        norm: Any = "layer",
        refit: bool = True,
    ) -> None:
        super().__init__(
            inputs, num_classes=num_classes, temperature=temperature, norm=norm, refit=refit
        )

    def average(self, scores: Mapping[str, Tensor]) -> Tensor:
        """Gives the sum of the log-probabilities, normalised."""
        return reduce(torch.add, log_softmaxes(scores).values()).log_softmax(-1)
