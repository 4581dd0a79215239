"""Projection, concatenation and a perceptron, as AutoGluon joins models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from fusionkit import Card, Features, FusionHead, HeadInput
from fusionkit.heads.parts.options import check_width
from fusionkit.heads.parts.perceptron import perceptron
from fusionkit.heads.parts.vectors import BranchVectors

__all__ = ["ProjectConcat"]


@final
class ProjectConcat(FusionHead):
    """A normalising perceptron on the concatenated projected vectors (arXiv:2404.16233).

    Gives MLP([W_1 x_1; ...; W_N x_N]), all W_i x_i of one width; each hidden layer of the MLP
    is layer norm, linear layer, activation, dropout, as AutoGluon's fusion module for models of
    any kind has them. ``concat`` with ``project`` and ``hidden`` is the same without the layer
    norms after the projection. As there, each x_i is normalised on its own first, since a layer
    norm over all branches together does not keep one from drowning another; ``norm="none"`` is
    the paper's head. A branch whose input is absent counts as zeros.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the logits.
        width: the width that all vectors are brought to; by default that of the widest branch.
        norm: before each W_i: ``"layer"``, ``"batch"``, ``"l2"`` or ``"none"``, one for all or
            by branch; see ``Concat``.
        hidden: the width of a hidden layer, or a list of widths.
        activation: after each hidden layer: ``"relu"``, ``"gelu"``, ``"silu"`` or ``"tanh"``.
        dropout: the share dropped after each hidden layer.

    Raises:
        ConfigError: an option's value is wrong.
    """

    takes_missing = True

    card = Card(
        formula="MLP([W_1 norm(x_1); ...; W_N norm(x_N)]) with a layer norm in each hidden layer",
        papers=("Tang et al., arXiv:2404.16233",),
        reads="vectors",
        when="Branches of very unequal widths that are fine-tuned together, with enough samples "
        "for a hidden layer. For few samples, concat without one.",
        each=("norm", "W_i"),
        join="concat",
        after=("layer norm", "MLP (hidden)"),
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        width: int | None = None,
        norm: str | Mapping[str, str] = "layer",
        hidden: int | Sequence[int] = 128,
        activation: str = "gelu",
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.reads = "vector"
        widest = max(given.embed_dim for given in inputs.values())
        project = widest if width is None else check_width("width", width)
        self.vectors = BranchVectors(inputs, norm=norm, project=project)
        self.classifier = perceptron(
            sum(self.vectors.widths),
            num_classes,
            hidden=hidden,
            activation=activation,
            dropout=dropout,
            norms=True,
        )

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives logits "b k"."""
        logits: Tensor = self.classifier(torch.cat(self.vectors.with_zeros(features), dim=-1))
        return logits
