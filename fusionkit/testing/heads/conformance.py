"""The functions that authors of heads call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from fusionkit.head import HeadInput
from fusionkit.testing.heads.all import HEAD_CHECKS
from fusionkit.testing.heads.situations import NAMES
from fusionkit.testing.heads.subject import HeadSubject
from fusionkit.testing.judge import choose, judge, refuse_unknown
from fusionkit.testing.question import Question
from fusionkit.testing.report import Report

__all__ = ["check_head", "head_checks"]


def check_head(
    make: Callable[..., Any],
    *,
    branches: Sequence[str] | Mapping[str, HeadInput] = NAMES,
    expected_failures: Mapping[str, str] | None = None,
    only: Iterable[str] | None = None,
    on_fail: Literal["raise", "report"] = "raise",
    name: str | None = None,
) -> Report:
    """Asks everything of a fusion head, and gives or raises what came of it.

    The head is built for one, two, three branches of unequal widths and maps, with and without
    stock classifiers. What it refuses with a ``FusionKitError`` when it is built is skipped and
    told, as long as something is left.

    Example::

        def test_conformance():
            fusionkit.testing.check_head(functools.partial(Gated, hidden=16))

    Args:
        make: the factory, ``make(inputs, *, num_classes)``, usually the class itself; options
            are set with ``functools.partial``.
        branches: the names of the branches, for heads whose options name them; or what each
            offers, for heads that need certain widths or maps.
        expected_failures: the causes of known failures by the name of the check; to pass one
            is a failure.
        only: names of checks, instead of all that are not slow.
        on_fail: ``"raise"`` raises every failure at once, ``"report"`` leaves them in the report.
        name: what the report calls it.

    Raises:
        ConformanceError: something failed, and ``on_fail="raise"``.
        ConfigError: there is no check of a name that was given, or ``branches`` has none.
    """
    expected = dict(expected_failures or {})
    refuse_unknown(HEAD_CHECKS, expected)
    subject = HeadSubject(make, branches=branches)
    outcomes = judge(choose(HEAD_CHECKS, only), subject, expected)
    report = Report(name or _name(subject.factory), outcomes)
    if on_fail == "raise":
        report.raise_for_failures()
    return report


def head_checks(**arguments: Any) -> list[Question]:
    """Gives each check as a test for ``pytest.mark.parametrize``, to be called with the factory.

    Example::

        @pytest.mark.parametrize("check", fusionkit.testing.head_checks(), ids=str)
        def test_conformance(check):
            check(Gated)

    Args:
        arguments: ``branches`` and ``expected_failures``, as ``check_head`` takes them. A failure
            that was expected lets the test pass.
    """
    return [
        Question(each, HEAD_CHECKS, HeadSubject, arguments) for each in choose(HEAD_CHECKS, None)
    ]


def _name(factory: Callable[..., Any]) -> str:
    return str(getattr(factory, "__qualname__", type(factory).__name__))
