"""A classifier for each branch beside any other head, for losses of single branches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from torch import Tensor

from fusionkit import (
    AssemblyError,
    Card,
    Catalog,
    ConfigError,
    Features,
    FusionHead,
    HeadInput,
    OptionError,
    Reads,
)
from fusionkit.heads.parts.scores import BranchScores

__all__ = ["Auxiliary"]


@final
class Auxiliary(FusionHead):
    """Another head's answer, and a classifier on each branch beside it (arXiv:1905.12681).

    The answer is the other head's alone. What each branch says by itself, ``branch_scores``, is
    for a loss on each branch and for the policies of ``fusionkit.balance``; without such a loss
    the classifiers do not learn. A branch whose stock classifier has ``num_classes`` classes
    says it by its logits; any other by its vector, through a norm and a new linear layer. As
    many classes are taken to be the same classes: where they are others, give the branch
    ``classifier=False``.

    Absent branches are the other head's matter; those that are present have scores.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the scores.
        head: the other head's name, as ``fusionkit list --kind head`` shows it.
        options: the other head's options.
        norm: before each new linear layer: ``"layer"``, ``"batch"``, ``"l2"`` or ``"none"``, one
            for all or by branch.
        catalog: where the other head is looked up; by default all installed plugins. ``compose``
            gives its own.

    Raises:
        AssemblyError: the other head gives scores of single branches itself, or cannot be trained.
        ConfigError: there is no such head, or an option's value is wrong.
        OptionError: the other head does not take these options.
    """

    takes_logits = True
    takes_catalog = True

    card = Card(
        formula="head(x_1, ..., x_N), and beside it z_i = W_i norm(x_i) + b_i of each branch",
        papers=("Wang et al., arXiv:1905.12681", "Peng et al., arXiv:2203.15332"),
        reads="vectors",
        when="Where one branch learns so fast that the others are left behind: with a loss on "
        "each branch, or with gradient modulation or blending. It costs nothing at inference.",
        each=("classifier (training)",),
        join="any head",
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        head: str = "concat",
        options: Mapping[str, Any] | None = None,
        norm: str | Mapping[str, str] = "layer",
        catalog: Catalog | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(head, str):
            raise ConfigError(
                f"option head is the other head's name, for example 'concat', got {head!r:.80}"
            )
        factory = (catalog or Catalog.installed()).head(head).factory
        try:
            built = factory(inputs, num_classes=num_classes, **(options or {}))
        except TypeError as error:
            raise OptionError(f"the head {head!r} does not take these options: {error}") from error
        _check(built, head)
        self.head = built
        self.scores = BranchScores(inputs, num_classes, norm=norm)
        self.reads = {
            name: _unite(_reads_of(self.head, name), Reads.parse(self.scores.reads[name]))
            for name in self.scores.names
        }
        self.symmetric = self.head.symmetric
        self.takes_missing = self.head.takes_missing

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives the other head's answer, "b k"."""
        answer: Tensor = self.head(features)
        return answer

    def branch_scores(self, features: Mapping[str, Features]) -> dict[str, Tensor]:
        """Gives what each branch that is present says by itself, "b k" by branch."""
        scores: dict[str, Tensor] = self.scores(features)
        return scores

    def fit(self, features: Mapping[str, Features], labels: Tensor) -> None:
        """Fits the other head, if it has anything to fit."""
        self.head.fit(features, labels)


def _check(head: Any, name: str) -> None:
    """Refuses what needs no classifiers beside it, or is no head."""
    if not isinstance(head, FusionHead):
        raise AssemblyError(
            f"the factory of the head {name!r} gave {type(head).__name__} instead of a "
            "fusionkit.FusionHead"
        )
    if type(head).branch_scores is not FusionHead.branch_scores:
        raise AssemblyError(
            f"the head {name!r} gives scores of single branches itself; write Head({name!r}, ...) "
            "without 'auxiliary'"
        )
    if not head.trains:
        raise AssemblyError(
            f"the head {name!r} cannot be trained, so that its branches need no loss beside it; "
            "train them with a head such as 'mean_logits'"
        )


def _reads_of(head: FusionHead, name: str) -> Reads:
    reads = head.reads[name] if isinstance(head.reads, Mapping) else head.reads
    return Reads.parse(reads) if isinstance(reads, str) else reads


def _unite(one: Reads, other: Reads) -> Reads:
    """Gives what both read; ``other`` reads no maps."""
    return Reads(one.vector or other.vector, one.maps, one.logits or other.logits)
