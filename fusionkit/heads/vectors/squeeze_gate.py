"""Squeeze-and-excitation over the vectors of all branches."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor, nn

from fusionkit import Card, Features, FusionHead, HeadInput
from fusionkit.heads.parts.cost import MAX_PARAMETERS, planned_widths, refuse_above
from fusionkit.heads.parts.options import check_width
from fusionkit.heads.parts.perceptron import perceptron
from fusionkit.heads.parts.vectors import BranchVectors

__all__ = ["SqueezeGate"]


@final
class SqueezeGate(FusionHead):
    """Concatenation whose components are gated as in squeeze-and-excitation (arXiv:1709.01507).

    Gives s ⊙ x to a classifier, with x = [W_1 x_1; ...; W_N x_N] and s = sigmoid(B relu(A x)): all
    branches together, through a narrow layer, say how much each component of each counts. The
    paper pools maps to x first; vectors are pooled. A branch whose input is absent counts as
    zeros.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the logits.
        project: the width to which each normalised vector is brought by a linear layer W_i of
            its own; one for all or by branch, ``None`` for none.
        reduction: by how much the narrow layer is narrower than x, as the paper's ratio r.
        norm: ``"layer"``, ``"batch"``, ``"l2"`` or ``"none"``, one for all or by branch; see
            ``Concat``.
        hidden: the width of a hidden layer after the gate, or a list of widths, or ``None``.
        activation: after each hidden layer: ``"relu"``, ``"gelu"``, ``"silu"`` or ``"tanh"``.
        dropout: the share dropped after each hidden layer; without one, of the gated vector.
        max_parameters: refuse to build a gate of more.

    Raises:
        AssemblyError: the gate would have more than ``max_parameters`` parameters.
        ConfigError: an option's value is wrong.
    """

    takes_missing = True

    card = Card(
        formula="MLP(sigmoid(B relu(A x)) ⊙ x), x = [W_1 norm(x_1); ...; W_N norm(x_N)]",
        papers=("Hu et al., arXiv:1709.01507",),
        reads="vectors",
        when="Concat that can turn components of a branch down by what the others see, at little "
        "more cost while branches are few: the gate's parameters grow with the square of all "
        "widths together. With few samples it overfits as concat does.",
        each=("norm", "W_i (project)"),
        join="concat",
        after=("gate sigmoid(B relu(A x))", "MLP (hidden)"),
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        project: int | Mapping[str, int | None] | None = None,
        reduction: int = 16,
        norm: str | Mapping[str, str] = "layer",
        hidden: int | Sequence[int] | None = None,
        activation: str = "relu",
        dropout: float = 0.0,
        max_parameters: int = MAX_PARAMETERS,
    ) -> None:
        super().__init__()
        self.reads = "vector"
        ratio = check_width("reduction", reduction)

        def narrow(width: int) -> int:
            return max(width // ratio, 1)

        planned = planned_widths(inputs, project)
        width = sum(planned)
        refuse_above(
            max_parameters,
            lambda widths: (2 * sum(widths) + 1) * narrow(sum(widths)) + sum(widths),
            planned,
            what=f"a gate on {width} components of {len(planned)} branches",
            formula=f"about 2 (Σ d_i)² / {ratio}",
            instead="'attention_gate'",
        )
        self.vectors = BranchVectors(inputs, norm=norm, project=project)
        self.gate = nn.Sequential(
            OrderedDict(
                squeeze=nn.Linear(width, narrow(width)),
                activation=nn.ReLU(),
                excite=nn.Linear(narrow(width), width),
                sigmoid=nn.Sigmoid(),
            )
        )
        self.classifier = perceptron(
            width, num_classes, hidden=hidden, activation=activation, dropout=dropout
        )

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives logits "b k"."""
        x = torch.cat(self.vectors.with_zeros(features), dim=-1)
        logits: Tensor = self.classifier(self.gate(x) * x)
        return logits
