"""Concatenation of the branches' vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from fusionkit import Card, Features, FusionHead, HeadInput
from fusionkit.heads.parts.perceptron import perceptron
from fusionkit.heads.parts.vectors import BranchVectors

__all__ = ["Concat"]


@final
class Concat(FusionHead):
    """A classifier on the concatenated vectors of all branches (Ngiam et al., 2011).

    Each vector is normalised first, so that a branch whose features are a thousand times larger
    than another's does not drown it. With ``norm="none"`` and nothing else it is one linear
    layer on [x_1; ...; x_N]. With ``project`` and ``hidden`` it is MLP([W_1 x_1; ...; W_N x_N]);
    ``project_concat`` is that with layer norms inside the MLP (arXiv:2404.16233). A branch whose
    input is absent counts as zeros, the mean of what a norm gives.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the logits.
        norm: ``"layer"`` gives each vector mean 0 and variance 1, also in a batch of one;
            ``"batch"`` each of its components, and needs batches of two or more in training;
            ``"l2"`` gives each vector length 1; ``"none"`` leaves it. One for all or by branch.
        project: the width to which each normalised vector is brought by a linear layer of its
            own; one for all or by branch, ``None`` for none.
        hidden: the width of a hidden layer, or a list of widths, or ``None``.
        activation: after each hidden layer: ``"relu"``, ``"gelu"``, ``"silu"`` or ``"tanh"``.
        dropout: the share dropped after each hidden layer; without one, of the concatenation.

    Raises:
        ConfigError: an option's value is wrong.
    """

    takes_missing = True

    card = Card(
        formula="MLP([W_1 norm(x_1); ...; W_N norm(x_N)]), W_i and hidden layers on request",
        papers=("Ngiam et al., ICML 2011",),
        reads="vectors",
        when="The plain choice where every branch is good by itself and samples are many. With "
        "few, a weak branch beside a strong one often makes it worse than the strong one alone.",
        each=("norm", "W_i (project)"),
        join="concat",
        after=("MLP (hidden)",),
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        norm: str | Mapping[str, str] = "layer",
        project: int | Mapping[str, int | None] | None = None,
        hidden: int | Sequence[int] | None = None,
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.reads = "vector"
        self.vectors = BranchVectors(inputs, norm=norm, project=project)
        self.classifier = perceptron(
            sum(self.vectors.widths),
            num_classes,
            hidden=hidden,
            activation=activation,
            dropout=dropout,
        )

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives logits "b k"."""
        logits: Tensor = self.classifier(torch.cat(self.vectors.with_zeros(features), dim=-1))
        return logits

    def extra_repr(self) -> str:
        """Says what is concatenated, and in which order and width."""
        pairs = zip(self.vectors.names, self.vectors.widths, strict=True)
        return "concatenates " + ", ".join(f"{name} ({width})" for name, width in pairs)
