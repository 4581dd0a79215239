"""The branches' vectors as a set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import final

from torch import Tensor, nn

from fusionkit import Card, Features, FusionHead, HeadInput
from fusionkit.heads.parts.options import check_choice, check_width, check_widths
from fusionkit.heads.parts.perceptron import ACTIVATIONS, perceptron
from fusionkit.heads.parts.pools import POOLS
from fusionkit.heads.parts.vectors import BranchVectors

__all__ = ["DeepSets"]


@final
class DeepSets(FusionHead):
    """Deep sets: one network for the vectors of all branches, pooled (arXiv:1703.06114).

    Gives rho(pool_i phi(W_i x_i)): a linear layer of each branch's own brings its normalised vector
    to one width, phi is the same for all branches, and rho is the classifier, with a hidden layer
    as the paper's: without one, no branch would change what another says. Only W_i tells the
    branches apart. Those whose input is absent are no members of the set.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the logits.
        width: the width that all vectors are brought to.
        phi: the widths of phi's layers, one or a list.
        pool: ``"sum"`` as in the paper; ``"mean"``, which keeps its size when branches are
            absent; or ``"max"``.
        norm: before each W_i: ``"layer"``, ``"batch"``, ``"l2"`` or ``"none"``, one for all or
            by branch; see ``Concat``.
        hidden: the width of a hidden layer of rho, or a list of widths; ``None`` makes rho
            linear, and the scores a sum or mean of what each branch says alone.
        activation: after each layer of phi and each hidden one of rho: ``"relu"``, ``"gelu"``,
            ``"silu"`` or ``"tanh"``.
        dropout: the share dropped after each hidden layer of rho; without one, of the pooled
            vector.

    Raises:
        ConfigError: an option's value is wrong.
    """

    takes_missing = True

    card = Card(
        formula="rho(Σ phi(W_i norm(x_i))), also mean or max",
        papers=("Zaheer et al., arXiv:1703.06114",),
        reads="vectors",
        when="Many branches of one kind, such as views or frames, with any of them absent. Less "
        "apt for few branches that have little in common.",
        each=("norm", "W_i", "phi (shared)"),
        join="sum",
        after=("rho",),
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        width: int = 256,
        phi: int | Sequence[int] = 256,
        pool: str = "sum",
        norm: str | Mapping[str, str] = "layer",
        hidden: int | Sequence[int] | None = 256,
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.reads = "vector"
        self.pool = check_choice("pool", pool, tuple(POOLS))
        self.vectors = BranchVectors(inputs, norm=norm, project=check_width("width", width))
        widths = (width, *check_widths("phi", phi))
        make_activation = ACTIVATIONS[check_choice("activation", activation, tuple(ACTIVATIONS))]
        self.phi = nn.Sequential(
            *(layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), make_activation()))
        )
        self.classifier = perceptron(
            widths[-1], num_classes, hidden=hidden, activation=activation, dropout=dropout
        )

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives logits "b k"."""
        members = [self.phi(vector) for vector in self.vectors(features).values()]
        logits: Tensor = self.classifier(POOLS[self.pool](members))
        return logits

    def extra_repr(self) -> str:
        """Says how the set is pooled."""
        return f"pool={self.pool}"
