"""What a head reads of its branches, and whether that comes to count."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from fusionkit.errors import DataError
from fusionkit.features import Features, Reads
from fusionkit.head import FusionHead
from fusionkit.testing.check import Check, Finding, NotApplicableError
from fusionkit.testing.heads.each import (
    ROUNDING,
    backwards,
    check_each,
    distance,
    modes,
    tensors,
)
from fusionkit.testing.heads.exchange import (
    answer_and_own_scores,
    counts,
    exchange_branch,
    exchange_field,
    fields,
)
from fusionkit.testing.heads.subject import HeadCase, HeadSubject, misfit
from fusionkit.testing.seed import set_seed
from fusionkit.testing.words import some

__all__ = ["CHECKS", "reads_only_what_it_declares"]

SIZES = ((96, 64), (32, 128), (70, 90), (16, 16))


@check_each("declare in self.reads all that forward uses", first=True, everywhere=True)
def reads_only_what_it_declares(case: HeadCase) -> Iterator[Finding]:
    """It works with exactly what ``reads`` asks for, and looks at nothing else."""
    head = case.build()
    full = case.run(head, case.features(extra="filled"))
    todo = (
        "ask for all that forward uses: self.reads = 'vector', 'maps', 'logits', a "
        "fusionkit.Reads, or one of these by branch"
    )
    try:
        exact = case.run(head, case.features())
    except Exception as error:  # whatever its forward raises when a field is missing
        what = f"without what `reads` does not ask for, forward fails: {type(error).__name__}"
        yield Finding(f"{what}: {error!s:.200}", todo)
        return
    if not torch.equal(case.run(head, case.features(extra="filled")), full):
        return  # it draws its answer, which eval_is_deterministic tells
    if not torch.equal(exact, full):
        yield Finding("what `reads` does not ask for changes the answer", todo)
    elif bool(case.run(head, case.features(extra="nan")).isnan().any()):
        yield Finding("NaN in a field that `reads` does not ask for comes out of the answer", todo)


@check_each("read every branch")
def each_branch_counts(case: HeadCase) -> Iterator[Finding]:
    """Other content in any branch, and in anything that is read of it, changes the answer."""
    head = case.build()
    for name, reads in case.reads.items():
        if reads == Reads():
            yield Finding(f"it reads nothing of branch {name!r}", "read it, or refuse it")
            continue
        if not counts(case, head, exchange_branch(name)):
            yield Finding(
                f"the answer does not depend on branch {name!r}",
                "use every branch in forward; refuse more branches than the head can use with "
                "fusionkit.AssemblyError. Where an option says so (a weight of 0), expect it",
            )
            continue
        parts = fields(reads)
        for place, what in enumerate(parts if len(parts) > 1 else ()):
            if not counts(case, head, exchange_field(name, place), answer_and_own_scores):
                yield Finding(
                    f"`reads` asks for {what} of branch {name!r}, and the answer does not depend "
                    "on it",
                    "leave it out of `reads`, so that it is not computed, or use it",
                )


@check_each(
    "look up branches by name",
    where=lambda case: len(case.inputs) > 1,
    otherwise="it refuses more than one branch",
)
def order_of_branches_is_free(case: HeadCase) -> Iterator[Finding]:
    """The order in which features, or inputs at the start, are handed in changes nothing."""
    head = case.build()
    expected = case.run(head, case.features())
    try:
        actual = case.run(head, backwards(case.features()))
    except Exception as error:  # wiring by order mostly meets a wrong width
        what = f"it fails: {type(error).__name__}: {error!s:.200}"
    else:
        gap = distance(actual, expected)
        what = f"the answer changes by {gap:.2g} of its size" if gap > ROUNDING else ""
    if what:
        yield Finding(
            f"with the features handed in backwards, {what}",
            "write features[name] for each name of sorted(inputs), not features.values()",
        )
    set_seed(0)
    other = case.make(backwards(case.inputs), num_classes=case.situation.num_classes).eval()
    todo = "go through sorted(inputs) in __init__, and name parameters by branch"
    missing = _misfits(head.state_dict(), other.state_dict())
    if missing:
        names = some(missing)
        yield Finding(f"built for the same branches backwards, these differ: {names}", todo)
        return
    other.load_state_dict(head.state_dict())
    gap = distance(case.run(other, case.features()), expected)
    if gap > ROUNDING:
        what = f"the same weights change the answer by {gap:.2g} of its size"
        yield Finding(f"built for the same branches backwards, {what}", todo)


def _misfits(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> list[str]:
    names = sorted(one.keys() | other.keys())
    return [
        name
        for name in names
        if name not in one or name not in other or one[name].shape != other[name].shape
    ]


@check_each(
    "give each branch weights of its own",
    where=lambda case: case.title.startswith("2 equal") and len({*case.reads.values()}) == 1,
    otherwise="it refuses two branches that offer the same, or reads different things of them",
)
def branches_are_told_apart(case: HeadCase) -> Iterator[Finding]:
    """Exchanging what two equal branches hold changes the answer, or it says ``symmetric``."""
    head = case.build()
    if head.symmetric:
        raise NotApplicableError("it says that it is symmetric")
    one, other = case.inputs

    def exchange(old: dict[str, Features], new: dict[str, Features]) -> dict[str, Features]:
        return {one: old[other], other: old[one]}

    if not counts(case, head, exchange):
        yield Finding(
            f"exchanging {one!r} and {other!r}, which have the same width, changes nothing",
            "keep weights by branch name, not by width; a head that treats branches alike on "
            "purpose says self.symmetric = True",
        )


@check_each(
    "go through the branches that are in features, or leave takes_missing False",
    where=lambda case: len(case.inputs) > 1,
    otherwise="it refuses more than one branch",
)
def answers_without_a_branch(case: HeadCase) -> Iterator[Finding]:
    """A head that ``takes_missing`` answers from each branch alone, whatever the others held."""
    head = case.build()
    if not head.takes_missing:
        raise NotApplicableError("it does not say that it takes missing branches")
    for name in case.inputs:
        alone = f"with branch {name!r} alone"
        answer = yield from _answer_of(case, head, (name,), alone)
        if answer is None:
            continue
        case.run(head, case.features(seed=1, scale=2.0))
        if not torch.equal(case.run(head, {name: case.features()[name]}), answer):
            yield Finding(
                f"{alone}, the answer depends on what the others held before",
                "keep nothing of the features that forward was given",
            )
    for absent in case.inputs if len(case.inputs) > 2 else ():
        present = [name for name in case.inputs if name != absent]
        how = f"without branch {absent!r}, of {len(case.inputs)}"
        yield from _answer_of(case, head, present, how)


def _answer_of(
    case: HeadCase, head: FusionHead, present: Sequence[str], how: str
) -> Generator[Finding, None, Tensor | None]:
    """Gives the answer from some branches, or tells what is wrong with it."""
    given = {name: each for name, each in case.features().items() if name in present}
    try:
        answer: object = case.run(head, given)
    except Exception as error:  # mostly a KeyError of the absent branch
        yield Finding(
            f"{how}, forward fails: {type(error).__name__}: {error!s:.200}",
            "go through the branches that are in features, or leave takes_missing False",
        )
        return None
    fault = misfit(answer, len(case.answer()), case.situation.num_classes)
    if fault is not None:
        yield Finding(f"{fault.what} {how}", fault.todo)
        return None
    assert isinstance(answer, Tensor)
    return answer


@check_each("make forward work on features that nobody else may change")
def features_stay_as_they_are(case: HeadCase) -> Iterator[Finding]:
    """It changes neither the features nor their mapping, in eval nor in train mode."""
    for mode in modes(case.build()):
        given, before = case.features(), case.features()
        versions = [value._version for each in given.values() for value in tensors(each)]
        case.run(case.build().train(mode), given)
        if list(given) != list(before):
            yield Finding(
                f"forward changed the mapping of features to {list(given)}",
                "make a mapping of your own; do not pop from or add to features",
            )
            return
        written = iter(versions)
        for name, old in before.items():
            now = tensors(given[name])
            changed = [value._version != next(written) for value in now]
            pairs = zip(now, tensors(old), strict=True)
            if any(changed) or not all(torch.equal(one, other) for one, other in pairs):
                yield Finding(
                    f"forward changed the features of branch {name!r} in place",
                    "write x = x * 2 instead of x *= 2 or x.mul_(2), and relu without inplace",
                )


@check_each(
    "make forward work on maps of any height and width",
    where=lambda case: case.reads_maps,
    otherwise="it reads no maps",
)
def other_sizes(case: HeadCase) -> Iterator[Finding]:
    """Maps of other heights and widths work too, or are refused with ``DataError``."""
    head = case.build()
    refusals = []
    for size in SIZES:
        try:
            answer: object = case.run(head, case.features(size=size))
        except DataError as error:
            refusals.append(str(error))
            continue
        except Exception as error:  # mostly a matrix that does not fit
            yield Finding(
                f"maps of an image of {size[0]} x {size[1]} fail: {type(error).__name__}: "
                f"{error!s:.200}",
                "pool maps to a fixed size (nn.AdaptiveAvgPool2d) before linear layers",
            )
            continue
        fault = misfit(answer, 4, case.situation.num_classes)
        if fault is not None:
            yield Finding(f"{fault.what} for an image of {size[0]} x {size[1]}", fault.todo)
    if len(refusals) == len(SIZES):
        raise NotApplicableError(f"it refuses other sizes: {refusals[0]}")


CHECKS: tuple[Check[HeadSubject], ...] = (
    each_branch_counts,
    order_of_branches_is_free,
    branches_are_told_apart,
    answers_without_a_branch,
    features_stay_as_they_are,
    other_sizes,
)
