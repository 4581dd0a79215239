"""What a head that is fitted to a whole set of samples makes of them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from fusionkit.errors import AssemblyError, DataError
from fusionkit.features import Features
from fusionkit.head import FusionHead
from fusionkit.testing.check import Check, Finding, NotApplicableError
from fusionkit.testing.heads.each import (
    ROUNDING,
    backwards,
    check_each,
    distance,
    has_fit,
    same,
    tensors,
)
from fusionkit.testing.heads.samples import Samples, draw_samples
from fusionkit.testing.heads.subject import HeadCase, HeadSubject, misfit, takes_logits
from fusionkit.testing.seed import set_seed, shared_states
from fusionkit.testing.words import some

__all__ = ["CHECKS"]

TITLES = ("2 branches", "2 branches with classifiers", "3 branches, some with classifiers")
"""Enough to see both kinds of scores and their mixture; a fit takes its time."""

ENOUGH = 0.6
"""The share of separable samples that must be right; chance is 0.2, and 1 can be had."""

FEW_RIGHT = 0.4
"""As much where the other branches hold noise alone, of which a fit may learn some by heart."""

FIT = "make fit(features, labels) set parameters and buffers from all samples at once"


def _fits(case: HeadCase) -> bool:
    titles = TITLES if takes_logits(case.make) else ("1 branch", "2 branches", "3 branches")
    return case.title in titles and has_fit(case.build())


check_fit = check_each(FIT, where=_fits, otherwise="it has nothing to fit")


def _fit(case: HeadCase, samples: Samples, head: FusionHead | None = None) -> FusionHead:
    """Gives a head that was fitted as ``fusionkit.fit_head`` does it, a new one by default."""
    head = (head or case.build()).eval()
    try:
        with torch.no_grad():
            head.fit(samples.features, samples.labels)
    except AssemblyError as error:
        raise NotApplicableError(f"it refuses: {error}") from None
    return head


@check_fit
def fit_is_repeatable(case: HeadCase) -> Iterator[Finding]:
    """The same samples give the same bits, whatever was fitted and drawn before."""
    expected = _fit(case, draw_samples(case)).state_dict()
    other = _fit(case, draw_samples(case, seed=1))
    set_seed(99)
    actual = _fit(case, draw_samples(case), other).state_dict()
    moved = [name for name, value in expected.items() if not same(value, actual[name])]
    if not moved:
        few = range(case.situation.num_classes // 2)
        try:
            expected = _fit(case, draw_samples(case, classes=few)).state_dict()
            actual = _fit(case, draw_samples(case, classes=few), other).state_dict()
        except DataError:
            return  # it may want every class
        moved = [name for name, value in expected.items() if not same(value, actual[name])]
    if moved:
        yield Finding(
            f"fitted to other samples before, these come out otherwise: {some(moved)}",
            "start from the same values at each fit, and draw from a torch.Generator of your own",
        )


@check_fit
def fit_does_not_mind_order(case: HeadCase) -> Iterator[Finding]:
    """The order in which inputs and features are handed in changes nothing of a fit."""
    fresh = case.features(batch=8, seed=7)
    expected = case.run(_fit(case, draw_samples(case)), fresh)
    set_seed(0)
    turned = case.make(backwards(case.inputs), num_classes=case.situation.num_classes)
    turned.load_state_dict(case.build().state_dict())
    samples = draw_samples(case)
    _fit(case, Samples(backwards(samples.features), samples.labels), turned)
    answer = case.run(turned, fresh)
    gap = distance(answer, expected)
    if gap > ROUNDING and not same(answer, expected):
        yield Finding(
            f"fitted to the same samples with the branches backwards, it answers otherwise, by "
            f"{gap:.2g} of the answer's size",
            "go through sorted(inputs), and look features up by branch",
        )


@check_fit
def fit_learns(case: HeadCase) -> Iterator[Finding]:
    """Fitted to samples that branches, or one alone, tell apart, it classifies others like them."""
    count = case.situation.num_classes
    yield from _learns(case, "samples like those that it was fitted to")
    without_first = "samples of the classes that it was fitted to, all but the first"
    yield from _learns(case, without_first, classes=range(1, count))
    for name in case.inputs if len(case.inputs) > 2 else ():
        told = f"samples that branch {name!r} alone tells apart, as in the fit"
        yield from _learns(case, told, FEW_RIGHT, telling=[name])


def _learns(case: HeadCase, what: str, least: float = ENOUGH, **drawn: Any) -> Iterator[Finding]:
    try:
        head = _fit(case, draw_samples(case, **drawn))
    except DataError:
        return  # it may want every class
    test = draw_samples(case, seed=1, **drawn)
    answer = case.run(head, test.features)
    fault = misfit(answer, len(test.labels), case.situation.num_classes)
    if fault is not None:
        if "classes" not in drawn:  # fit_takes_missing_classes tells it
            yield Finding(f"{fault.what}, after the fit", fault.todo)
        return
    right = float((answer.argmax(1) == test.labels).double().mean())
    if right < least:
        yield Finding(
            f"of {what}, {right:.0%} are classified rightly",
            "fit to the labels all that stands between the features and the scores, in every "
            "branch, and take labels as they are: column i is class i",
        )


@check_fit
def fit_keeps_its_parameters(case: HeadCase) -> Iterator[Finding]:
    """A fit sets the values of parameters and buffers, and leaves who they are and who learns."""
    head = case.build()
    before = _identities(head)
    _fit(case, draw_samples(case), head)
    changed = [name for name, who in _identities(head).items() if before.pop(name, None) != who]
    if changed or before:
        yield Finding(
            f"the fit made or froze {some([*changed, *before])}, which an optimizer that was made "
            "before does not see",
            "write self.linear.weight.copy_(value), in buffers and parameters made in __init__",
        )


def _identities(head: FusionHead) -> dict[str, tuple[int, bool]]:
    tensors = head.state_dict(keep_vars=True)
    return {name: (id(value), value.requires_grad) for name, value in tensors.items()}


@check_fit
def fit_draws_from_its_own(case: HeadCase) -> Iterator[Finding]:
    """A fit neither seeds nor draws from the generators that everybody shares."""
    samples, head = draw_samples(case, per_class=3), case.build()
    before = shared_states()
    _fit(case, samples, head)
    moved = [name for name, state in shared_states().items() if state != before[name]]
    if moved:
        yield Finding(
            f"the fit seeds or draws from the generator of {some(moved)}",
            "draw from a torch.Generator of your own",
        )


@check_fit
def fit_is_saved(case: HeadCase) -> Iterator[Finding]:
    """The state dict, loaded strictly into a head that was never fitted, says all."""
    head = _fit(case, draw_samples(case))
    file = io.BytesIO()
    torch.save(head.state_dict(), file)
    file.seek(0)
    fresh = case.build(seed=1)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    actual, expected = (case.run(each, case.features()) for each in (fresh, head))
    if not same(actual, expected):
        yield Finding(
            "a new head with its state dict answers otherwise, by "
            f"{distance(actual, expected):.2g} of the answer's size",
            "keep what is fitted in parameters or persistent buffers, of the same shape before",
        )


@check_fit
def fit_takes_few_samples(case: HeadCase) -> Iterator[Finding]:
    """Few samples, or components that never vary, give finite answers, or a ``DataError``."""
    for count in (1, 2):
        yield from _fit_or_refuse(
            case, draw_samples(case, per_class=count), f"{count} of each class"
        )
    still = draw_samples(case)
    for each in still.features.values():
        for value in tensors(each):
            value[:, 0] = 1.0
    yield from _fit_or_refuse(case, still, "components that are the same in all samples")


@check_fit
def fit_takes_missing_classes(case: HeadCase) -> Iterator[Finding]:
    """Samples of some classes only, or of one, give finite answers, or a ``DataError``."""
    count = case.situation.num_classes
    for left in ([*range(1, count)], [*range(count - 1)], [count // 2]):
        samples = draw_samples(case, classes=left, per_class=4)
        yield from _fit_or_refuse(case, samples, f"classes {some(left)} only")


@check_each("leave fits = True out, or write fit(features, labels)")
def fits_as_it_says(case: HeadCase) -> Iterator[Finding]:
    """A head that says ``fits = True`` has a ``fit`` of its own."""
    head = case.build()
    if not head.fits:
        raise NotApplicableError("it does not say that it fits")
    if not has_fit(head):
        yield Finding(
            "it says fits = True, and has no fit", "leave it out, or write fit(features, labels)"
        )


def _fit_or_refuse(case: HeadCase, samples: Samples, what: str) -> Iterator[Finding]:
    todo = "make the fit work on them, or raise fusionkit.DataError that says what it needs"
    try:
        head = _fit(case, samples)
    except NotApplicableError:
        raise
    except DataError:
        return
    except Exception as error:  # a stranger's code raises what it likes; all of it is told
        yield Finding(f"for {what} it fails: {type(error).__name__}: {error!s:.200}", todo)
        return
    fault = misfit(case.run(head, case.features()), 4, case.situation.num_classes)
    if fault is not None:
        yield Finding(f"{fault.what}, fitted to {what}", todo)


@check_fit
def fit_changes_no_samples(case: HeadCase) -> Iterator[Finding]:
    """A fit leaves features and labels as they are."""
    samples, before = draw_samples(case), draw_samples(case)
    _fit(case, samples)
    changed = [name for name in before.features if _differ(samples.features, before.features, name)]
    if not torch.equal(samples.labels, before.labels):
        changed.append("the labels")
    if changed:
        yield Finding(
            f"the fit changed {some(changed)} in place",
            "write x = x - mean instead of x -= mean, and pop nothing from the mapping",
        )


def _differ(given: Mapping[str, Features], before: Mapping[str, Features], name: str) -> bool:
    if name not in given:
        return True
    pairs = zip(tensors(given[name]), tensors(before[name]), strict=True)
    return not all(torch.equal(one, other) for one, other in pairs)


CHECKS: tuple[Check[HeadSubject], ...] = (
    fits_as_it_says,
    fit_is_repeatable,
    fit_does_not_mind_order,
    fit_learns,
    fit_keeps_its_parameters,
    fit_draws_from_its_own,
    fit_is_saved,
    fit_takes_few_samples,
    fit_takes_missing_classes,
    fit_changes_no_samples,
)
