"""The gated multimodal unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor, nn

from fusionkit import Card, ConfigError, Features, FusionHead, HeadInput
from fusionkit.heads.parts.absent import with_zeros
from fusionkit.heads.parts.cost import MAX_PARAMETERS, refuse_above
from fusionkit.heads.parts.options import check_flag, check_width
from fusionkit.heads.parts.perceptron import perceptron
from fusionkit.heads.parts.pools import sum_of
from fusionkit.heads.parts.vectors import BranchVectors

__all__ = ["GatedMultimodal"]


@final
class GatedMultimodal(FusionHead):
    """Gated multimodal unit: each component of each branch is gated (arXiv:1702.01992).

    Gives Σ g_i ⊙ h_i to a classifier, with h_i = tanh(W_i x_i) and gates
    g_i = sigmoid(U_i [x_1; ...; x_N]) that depend on all branches. For two branches the paper ties
    them: g_1 = z and g_2 = 1 - z with one z = sigmoid(U [x_1; x_2]). W and U have biases, as in the
    classifier; the paper writes none.

    A branch whose input is absent counts as zeros in [x_1; ...; x_N], and its term is left out.
    Of tied gates the one that is left is 1.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the logits.
        width: the width of each h_i.
        tied: whether two gates add up to 1; by default for two branches, as in the paper.
        norm: what each x_i is normalised by: ``"layer"``, ``"batch"``, ``"l2"`` or ``"none"``,
            one for all or by branch; see ``Concat``.
        hidden: the width of a hidden layer after the unit, or a list of widths, or ``None``.
        activation: after each hidden layer: ``"relu"``, ``"gelu"``, ``"silu"`` or ``"tanh"``.
        dropout: the share dropped after each hidden layer; without one, of the unit's output.
        max_parameters: refuse to build gates of more.

    Raises:
        AssemblyError: the gates would have more than ``max_parameters`` parameters.
        ConfigError: an option's value is wrong.
    """

    takes_missing = True

    card = Card(
        formula="MLP(Σ g_i ⊙ tanh(W_i x_i)), g_i = sigmoid(U_i [x_1; ...; x_N]); of 2, g_2 = 1-g_1",
        papers=("Arevalo et al., arXiv:1702.01992",),
        reads="vectors",
        when="Where branches see different things and which one counts differs by sample and by "
        "feature. It has a gate for each component, which reads all branches, so that parameters "
        "grow with the square of the branches: not for very few samples, nor for many branches.",
        each=("norm", "tanh(W_i)"),
        join="Σ g_i ⊙, g_i = sigmoid(U_i [x])",
        after=("MLP (hidden)",),
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        width: int = 256,
        tied: bool | None = None,
        norm: str | Mapping[str, str] = "layer",
        hidden: int | Sequence[int] | None = None,
        activation: str = "relu",
        dropout: float = 0.0,
        max_parameters: int = MAX_PARAMETERS,
    ) -> None:
        super().__init__()
        self.reads = "vector"
        self.vectors = BranchVectors(inputs, norm=norm)
        names, widths = self.vectors.names, self.vectors.widths
        self.tied = _check_tied(tied, len(names))
        gated = 1 if self.tied else len(names)
        refuse_above(
            max_parameters,
            lambda width: (sum(widths) + 1) * gated * width[0],
            [check_width("width", width)],
            what=f"gates of width {width} for {len(names)} branches",
            formula=f"(Σ d_i + 1) x {gated} x width",
            instead="'attention_gate'",
            option="width",
        )
        self.projections = nn.ModuleDict(
            {name: nn.Linear(own, width) for name, own in zip(names, widths, strict=True)}
        )
        self.gate = nn.Linear(sum(widths), width * gated)
        self.classifier = perceptron(
            width, num_classes, hidden=hidden, activation=activation, dropout=dropout
        )

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives logits "b k"."""
        x = self.vectors(features)
        states = {name: torch.tanh(self.projections[name](x[name])) for name in x}
        if self.tied and len(x) == 1:
            fused = sum_of(list(states.values()))
        else:
            gates = self.gates(x)
            fused = sum_of([gates[name] * state for name, state in states.items()])
        logits: Tensor = self.classifier(fused)
        return logits

    def gates(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Gives the gates "b d" of all branches from the normalised vectors of those present."""
        names = self.vectors.names
        whole = torch.cat(with_zeros(x, names, self.vectors.widths), dim=-1)
        opened = torch.sigmoid(self.gate(whole))
        each = (opened, 1 - opened) if self.tied else opened.chunk(len(names), dim=-1)
        return dict(zip(names, each, strict=True))

    def extra_repr(self) -> str:
        """Says whether the gates are tied."""
        return f"tied={self.tied}"


def _check_tied(tied: object, count: int) -> bool:
    if tied is None:
        return count == 2
    if check_flag("tied", tied) and count != 2:
        raise ConfigError(
            f"option tied: the gates z and 1 - z are for two branches, and there "
            f"{'is 1' if count == 1 else f'are {count}'}; write tied=False, or leave it out"
        )
    return bool(tied)
