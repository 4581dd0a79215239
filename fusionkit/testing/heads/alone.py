"""What a head says of each branch by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from fusionkit.errors import AssemblyError
from fusionkit.features import Features
from fusionkit.head import FusionHead
from fusionkit.testing.check import Check, Finding, NotApplicableError
from fusionkit.testing.heads.each import ROUNDING, check_each, distance, mix, tells_branches
from fusionkit.testing.heads.exchange import NOTICEABLE
from fusionkit.testing.heads.subject import HeadCase, HeadSubject, misfit
from fusionkit.testing.words import some

__all__ = ["CHECKS"]


@check_each(
    "give a mapping from each branch that is in features to its scores 'b k'",
    where=lambda case: tells_branches(case.build()),
    otherwise="it has no branch_scores",
)
def scores_of_single_branches(case: HeadCase) -> Iterator[Finding]:
    """``branch_scores`` gives "b k" for each branch that is there, from its own features alone."""
    head = case.build()
    features = case.features()
    expected = _ask(head, features)
    if isinstance(expected, Finding):
        yield expected
        return
    for name, scores in expected.items():
        fault = misfit(scores, 4, case.situation.num_classes)
        if fault is not None:
            yield Finding(f"of what branch_scores gives for {name!r}: {fault.what}", fault.todo)
            return
    yield from _tell_alike(case, head, expected)
    for name, scores in expected.items():
        others = {**case.features(seed=1, scale=2.0), name: features[name]}
        answers = {"depends on what other branches hold": _ask(head, others)}
        if head.takes_missing:
            alone = _ask(head, {name: features[name]})
            answers["is another where the others are absent"] = alone
        for what, answer in answers.items():
            if isinstance(answer, Finding):
                yield answer
            elif distance(answer[name], scores) > ROUNDING:
                yield Finding(
                    f"what branch_scores says of {name!r} {what}",
                    "let it say what this branch's own features say, without the others",
                )


def _tell_alike(
    case: HeadCase, head: FusionHead, expected: Mapping[str, Tensor]
) -> Iterator[Finding]:
    """Tells of scores that are drawn, mix samples, say the same of all, or have no gradient."""
    with torch.no_grad():
        again = head.branch_scores(case.features())
    if not all(torch.equal(again[name], scores) for name, scores in expected.items()):
        yield Finding(
            "branch_scores gives other scores at a second call in eval mode",
            "draw only if self.training",
        )
        return
    others = case.features(seed=1, scale=3.0)
    mixed = {name: mix(mine, others[name]) for name, mine in case.features().items()}
    with torch.no_grad():
        beside, elsewhere = head.branch_scores(mixed), head.branch_scores(others)
    learning = case.build().train(head.trains)  # another, since it may learn statistics
    followed = learning.branch_scores(case.features(requires_grad=True))
    for name, scores in expected.items():
        if distance(beside[name][:1], scores[:1]) > ROUNDING:
            what, todo = "depends on the other samples of the batch", "normalise within a sample"
        elif distance(elsewhere[name], scores) < NOTICEABLE:
            what, todo = "is the same for other features", "let it read the branch's features"
        elif head.trains and not followed[name].requires_grad:
            what, todo = "has no gradient", "leave out detach(): losses are taken of it"
        else:
            continue
        yield Finding(f"what branch_scores says of {name!r} {what}", todo)


def _ask(head: FusionHead, features: Mapping[str, Features]) -> dict[str, Tensor] | Finding:
    """Gives the scores of the branches, or what is wrong with their names."""
    with torch.no_grad():
        try:
            scores = head.branch_scores(features)
        except AssemblyError as error:
            raise NotApplicableError(f"it refuses: {error}") from None
    if not isinstance(scores, Mapping) or scores.keys() != features.keys():
        given = some(scores) if isinstance(scores, Mapping) else type(scores).__name__
        return Finding(
            f"branch_scores gives {given or 'nothing'} where the branches {some(features)} are "
            "there",
            "return {name: scores for each name that is in features}",
        )
    return scores


CHECKS: tuple[Check[HeadSubject], ...] = (scores_of_single_branches,)
