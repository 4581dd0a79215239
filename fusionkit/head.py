"""``FusionHead``: what joins the features of all branches into one answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from fusionkit.backbone.depth import Level
from fusionkit.errors import AssemblyError
from fusionkit.features import Features, Reads

__all__ = ["FusionHead", "HeadInput"]


@dataclass(frozen=True, slots=True)
class HeadInput:
    """What one branch offers to a head.

    Attributes:
        embed_dim: the width of its vector "b d".
        levels: the channels and strides of its maps, fine to coarse; empty without maps.
        num_classes: the width of its stock classifier's logits; ``None`` without classifier.
    """

    embed_dim: int
    levels: tuple[Level, ...] = ()
    num_classes: int | None = None


class FusionHead(nn.Module, ABC):
    """Turns the features of N branches into logits "b k" (or scores that its name tells).

    A complete head::

        class Sum(fusionkit.FusionHead):
            def __init__(self, inputs, *, num_classes):
                super().__init__()
                self.reads = "vector"
                self.out = nn.ModuleDict(
                    {name: nn.Linear(i.embed_dim, num_classes) for name, i in inputs.items()}
                )

            def forward(self, features):
                return sum(self.out[name](f.vector) for name, f in features.items())

    Branches come by name, in alphabetical order whatever the order in which they were written,
    so that a reordered recipe is the same model. A head that treats branches unlike takes their
    names as options.

    Attributes:
        takes_logits: whether the head reads the logits of a branch that has them. Said by the
            class (or factory), since a trunk is built before the head: its stock classifier is
            kept if it has as many classes as the model.
        takes_catalog: whether the class (or factory) takes the option ``catalog``, which
            ``compose`` then fills in: for heads that are made of other heads.
        reads: what the head reads, of all branches alike ("vector", "maps", "logits" or a
            ``Reads``), or for each branch by name.
        symmetric: whether the head means to treat equal branches alike, so that exchanging what
            they hold may change nothing, as in a sum. Otherwise that is a sign of weights shared
            by mistake, which ``fusionkit.testing.check_head`` tells.
        takes_missing: whether the head has an answer when branches are absent: ``forward`` is
            then also called with the features of some branches only, of at least one.
        fits: whether ``fit`` is how the head is meant to learn, rather than by gradient alone.
        trains: whether gradients can train what comes before it. A head that votes cannot; it
            refuses to run in train mode.
    """

    takes_logits: ClassVar[bool] = False

    takes_catalog: ClassVar[bool] = False

    trains: ClassVar[bool] = True

    fits: bool = False

    symmetric: bool = False

    takes_missing: bool = False

    reads: str | Reads | Mapping[str, str | Reads]

    @abstractmethod
    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives "b k" from what ``reads`` asked for of each branch that is present."""

    def fit(self, features: Mapping[str, Features], labels: Tensor) -> None:
        """Sets what is fitted to a whole set of samples at once rather than trained in steps.

        Called by ``fusionkit.fit_head``, in eval mode without gradients, with all samples at
        once. The same samples give the same head, whatever was fitted before.

        Args:
            features: what ``reads`` asks for of every branch.
            labels: "b", whole numbers from 0 to the number of classes.

        Raises:
            AssemblyError: this head has nothing of this kind.
        """
        raise AssemblyError(
            f"{type(self).__name__} is trained by gradient and has nothing to fit; train it as "
            "any module, or take a head that fits, such as 'adaptive'"
        )

    def branch_scores(self, features: Mapping[str, Features]) -> dict[str, Tensor]:
        """Gives what each branch that is present says of the classes by itself, "b k" by branch.

        Losses for single branches, and policies that balance them, ask for it.

        Raises:
            AssemblyError: this head joins the branches before there are scores.
        """
        raise AssemblyError(
            f"{type(self).__name__} gives no scores of single branches; wrap it: "
            "Head('auxiliary', head=...) adds a classifier to each branch"
        )
