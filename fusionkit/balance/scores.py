"""``score``: the fused answer and what each branch says by itself, from one pass."""

from __future__ import annotations

from typing import Any, NamedTuple, final

from torch import Tensor, nn

from fusionkit.features import Features
from fusionkit.model.fused import FusedModel

__all__ = ["ScoredModel", "Scores", "score"]


class Scores(NamedTuple):
    """What a model says, together and branch by branch.

    Attributes:
        fused: the head's answer, "b k".
        branches: what each branch says by itself, "b k" by branch.
    """

    fused: Tensor
    branches: dict[str, Tensor]


def score(model: FusedModel, inputs: Any, *, detach: bool = False) -> Scores:
    """Gives the fused answer and each branch's own scores, and runs each branch once.

    Branch dropout leaves branches out of the fused answer only.

    Args:
        model: with a head that gives scores of single branches, or ``Head("auxiliary", ...)``
            around any other.
        inputs: as for the model itself.
        detach: keeps what a loss on a branch's own scores would teach that branch from it: only
            the classifiers learn from such a loss, and tell how far each branch is.

    Raises:
        AssemblyError: the head gives no scores of single branches.
    """
    features = model.features(inputs)
    read = {name: _detach(each) for name, each in features.items()} if detach else features
    return Scores(model.fuse(features), model.head.branch_scores(read))


@final
class ScoredModel(nn.Module):
    """A model whose forward pass is ``score``, for wrappers that see nothing else.

    ``DistributedDataParallel`` joins the gradients of what its own forward pass computes, so wrap
    this. The parameters are the model's own; save and load that.

    Args:
        model: what is scored.
        detach: see ``score``.
    """

    def __init__(self, model: FusedModel, *, detach: bool = False) -> None:
        super().__init__()
        self.model = model
        self.detach = detach

    def forward(self, inputs: Any) -> Scores:
        """Gives the fused answer and each branch's own scores."""
        return score(self.model, inputs, detach=self.detach)


def _detach(features: Features) -> Features:
    return Features(
        None if features.vector is None else features.vector.detach(),
        tuple(each.detach() for each in features.maps),
        None if features.logits is None else features.logits.detach(),
    )
