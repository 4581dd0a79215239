"""The largest of the branches' probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

from fusionkit import Card, HeadInput
from fusionkit.heads.parts.temperatures import Temperature
from fusionkit.heads.scores.averaging import Averaging, log_softmaxes

__all__ = ["MaxProbabilities"]


@final
class MaxProbabilities(Averaging):
    """The largest probability that any branch gives each class (max rule, Kittler et al., 1998).

    Gives log softmax(max_i log softmax(z_i / T_i)): of each class the largest probability,
    divided by their sum. It is taken of probabilities and not of logits, whose zero and scale
    are each branch's own. Branches whose input is absent do not count.

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
        formula="log softmax(max_i log softmax(z_i / T_i))",
        papers=("Kittler et al., IEEE TPAMI 20(3), 1998",),
        reads="scores",
        when="Branches that are each sure only of what they know. The surest decides, so fit "
        "temperatures first: one that is sure and wrong decides as well.",
        each=("classifier", "divide by T_i", "log softmax"),
        join="maximum",
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
        """Gives the largest log-probabilities, normalised."""
        return torch.stack(list(log_softmaxes(scores).values())).amax(0).log_softmax(-1)
