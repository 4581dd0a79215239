"""Whether all of what a head reads takes part in its answer, and gradients come back to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fusionkit.head import FusionHead
from fusionkit.testing.check import Check, Finding, NotApplicableError
from fusionkit.testing.heads.each import check_each, own_scores, tensors
from fusionkit.testing.heads.exchange import (
    DRAWS,
    answer_and_own_scores,
    counts,
    exchange_field,
    exchange_places,
    fields,
)
from fusionkit.testing.heads.learning import backward, clone_features
from fusionkit.testing.heads.subject import HeadCase, HeadSubject
from fusionkit.testing.words import some

__all__ = ["CHECKS"]


@dataclass(frozen=True, slots=True)
class _Part:
    """Components of a vector, channels of a map or classes of logits of one branch.

    Attributes:
        branch: its name.
        place: the field's in ``tensors``.
        what: the field, in words.
        width: of how many.
        components: which.
    """

    branch: str
    place: int
    what: str
    width: int
    components: tuple[int, ...]

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the field."""
        return len(self.components) == self.width

    def __str__(self) -> str:
        """Gives the part in words."""
        field = f"{self.what} of branch {self.branch!r}"
        if self.is_whole:
            return field
        unit = {"the vector": "components", "the logits": "classes"}.get(self.what, "channels")
        which = some(self.components)
        return f"{len(self.components)} of the {self.width} {unit} of {field} ({which})"


@check_each("use every component, channel and class that is read")
def every_component_counts(case: HeadCase) -> Iterator[Finding]:
    """Every component of a vector, channel of a map and class of logits changes the answer."""
    head = case.build()
    deaf = _deaf_parts(case, head) if head.trains else None
    for part in _all_parts(case) if deaf is None else deaf:
        idle = tuple(
            component
            for component in part.components
            if not _counts(case, head, replace(part, components=(component,)))
        )
        left_out = replace(part, components=idle)
        if idle and not left_out.is_whole:  # a whole field is told by each_branch_counts
            yield Finding(
                f"the answer does not depend on {left_out}",
                "read all of them: take no slice of a fixed width, and drop no remainder",
            )


@check_each(
    "use every place of the maps that are read",
    where=lambda case: case.reads_maps,
    otherwise="it reads no maps",
)
def every_place_counts(case: HeadCase) -> Iterator[Finding]:
    """Every place of a map can change the answer, at the border too."""
    head = case.build()
    if not head.trains:
        raise NotApplicableError("it says that gradients cannot train what comes before it")
    for part, heard in zip(_all_parts(case), _follow(case, head) or (), strict=False):
        ears = heard.any(0)
        if heard.ndim < 3 or bool(ears.all()) or not bool(ears.any()):
            continue  # what is deaf as a whole is told by each_branch_counts
        exchange = exchange_places(part.branch, part.place, ~ears)
        if not counts(case, head, exchange, answer_and_own_scores):
            yield Finding(
                f"the answer does not depend on {int((~ears).sum())} of the {ears.numel()} places "
                f"of {part}",
                "pool all places, for example by mean((2, 3)): take no slice of a fixed length, "
                "and drop no border",
            )


@check_each("let gradients through to the features, without detach(), .data or no_grad()")
def gradients_reach_the_features(case: HeadCase) -> Iterator[Finding]:
    """A gradient reaches all that is read of each branch, so that its backbone can learn."""
    head = case.build()
    if not head.trains:
        raise NotApplicableError("it says that gradients cannot train what comes before it")
    deaf = _deaf_parts(case, head)
    if deaf is None:
        raise NotApplicableError("the answer has no gradient")
    for part in deaf:
        if _counts(case, head, part):
            yield Finding(
                f"no gradient reaches {part}: what they come from never learns",
                "let gradients through, without detach(), .data or no_grad(); a head that cannot "
                "train what comes before it says trains = False",
            )


def _all_parts(case: HeadCase) -> list[_Part]:
    """Gives all fields that are read, whole."""
    features = case.features()
    return [
        _Part(name, place, what, value.shape[1], tuple(range(value.shape[1])))
        for name, reads in case.reads.items()
        for place, (what, value) in enumerate(
            zip(fields(reads), tensors(features[name]), strict=True)
        )
    ]


def _deaf_parts(case: HeadCase, head: FusionHead) -> list[_Part] | None:
    """Gives what gradients reach in no draw in train mode; ``None`` if the answer has none."""
    followed = _follow(case, head.train())
    head.eval()
    if followed is None:
        return None
    deaf = []
    for part, heard in zip(_all_parts(case), followed, strict=True):
        still = ~heard.reshape(part.width, -1).any(1)
        deaf.append(replace(part, components=tuple(still.nonzero().flatten().tolist())))
    return [part for part in deaf if part.components]


def _follow(case: HeadCase, head: FusionHead) -> list[Tensor] | None:
    """Gives where a gradient that is not zero comes back to, of any sample in several draws.

    Returns:
        "c" of vectors and logits and "c h w" of maps, in the order of ``_all_parts``; ``None`` if
        the answer has no gradient.
    """
    draws = []
    for seed in range(DRAWS):
        features = case.features(batch=8, seed=seed, requires_grad=True)
        own = own_scores(head, clone_features(features))
        answers = [head(clone_features(features)), *own.values()]
        if not any(each.requires_grad for each in answers):
            return None
        backward(*answers, seed=seed)
        leaves = [leaf for name in case.reads for leaf in tensors(features[name])]
        draws.append([_reached(leaf) for leaf in leaves])
    return [torch.stack(each).any(0) for each in zip(*draws, strict=True)]


def _reached(leaf: Tensor) -> Tensor:
    return torch.zeros_like(leaf[0]).bool() if leaf.grad is None else (leaf.grad != 0).any(0)


def _counts(case: HeadCase, head: FusionHead, part: _Part) -> bool:
    exchange = exchange_field(part.branch, part.place, part.components)
    return counts(case, head, exchange, answer_and_own_scores)


CHECKS: tuple[Check[HeadSubject], ...] = (
    every_component_counts,
    every_place_counts,
    gradients_reach_the_features,
)
