"""A weighted sum of the branches' vectors, by weights that depend on all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor, nn

from fusionkit import Card, Features, FusionHead, HeadInput
from fusionkit.heads.parts.absent import with_zeros
from fusionkit.heads.parts.options import check_width
from fusionkit.heads.parts.perceptron import perceptron
from fusionkit.heads.parts.pools import sum_of
from fusionkit.heads.parts.precision import at_least_float32
from fusionkit.heads.parts.vectors import BranchVectors

__all__ = ["AttentionGate"]


@final
class AttentionGate(FusionHead):
    """A sum of projected vectors, weighted by attention over branches (arXiv:1701.03126).

    Gives Σ a_i W_i x_i to a classifier, with a = softmax(U [x_1; ...; x_N]): one weight for each
    branch and sample, none negative and together 1, from all branches at once, as the gating
    network of a mixture of experts (Jacobs et al., 1991). The paper's score is
    w·tanh(V_i x_i + ...) with the state of a decoder, which a classifier has not.

    The softmax goes over the branches that are present; an absent one counts as zeros in
    [x_1; ...; x_N].

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the logits.
        width: the width that all vectors are brought to.
        norm: what each x_i is normalised by: ``"layer"``, ``"batch"``, ``"l2"`` or ``"none"``,
            one for all or by branch; see ``Concat``.
        hidden: the width of a hidden layer after the sum, or a list of widths, or ``None``.
        activation: after each hidden layer: ``"relu"``, ``"gelu"``, ``"silu"`` or ``"tanh"``.
        dropout: the share dropped after each hidden layer; without one, of the sum.

    Raises:
        ConfigError: an option's value is wrong.
    """

    takes_missing = True

    card = Card(
        formula="MLP(Σ a_i W_i x_i), a = softmax(U [x_1; ...; x_N])",
        papers=("Hori et al., arXiv:1701.03126", "Jacobs et al., Neural Computation 1991"),
        reads="vectors",
        when="Where which branch can be trusted changes from sample to sample and shows in the "
        "features. Where one branch is better throughout, it learns to look at that one alone.",
        each=("norm", "W_i"),
        join="Σ a_i, a = softmax(U [x])",
        after=("MLP (hidden)",),
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        width: int = 256,
        norm: str | Mapping[str, str] = "layer",
        hidden: int | Sequence[int] | None = None,
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.reads = "vector"
        check_width("width", width)
        self.vectors = BranchVectors(inputs, norm=norm)
        names, widths = self.vectors.names, self.vectors.widths
        self.projections = nn.ModuleDict(
            {name: nn.Linear(own, width) for name, own in zip(names, widths, strict=True)}
        )
        self.gate = nn.Linear(sum(widths), len(names))
        self.classifier = perceptron(
            width, num_classes, hidden=hidden, activation=activation, dropout=dropout
        )

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives logits "b k"."""
        x = self.vectors(features)
        weights = self.weigh(x)
        terms = [weights[name][:, None] * self.projections[name](x[name]) for name in x]
        logits: Tensor = self.classifier(sum_of(terms))
        return logits

    def weigh(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Gives the weight "b" of each branch from the normalised vectors of those present."""
        whole = torch.cat(with_zeros(x, self.vectors.names, self.vectors.widths), dim=-1)
        scores = dict(zip(self.vectors.names, self.gate(whole).unbind(-1), strict=True))
        present = torch.stack([scores[name] for name in x])
        weights = at_least_float32(present).softmax(0).to(present.dtype)
        return dict(zip(x, weights.unbind(), strict=True))
