"""One check as a test of its own, for those who run tests one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from unittest import SkipTest

from fusionkit.testing.check import Check
from fusionkit.testing.judge import choose, judge, refuse_unknown
from fusionkit.testing.report import Report

__all__ = ["Question"]


@dataclass(frozen=True, slots=True)
class Question:
    """A check that is called with a factory, and raises if it fails.

    Attributes:
        check: what is asked.
        checks: all that there are; those without which it makes no sense are asked too.
        subject: makes what is asked, from the factory.
        arguments: for ``subject``, and ``expected_failures``.
    """

    check: Check[Any]
    checks: Sequence[Check[Any]] = field(repr=False)
    subject: Callable[..., Any] = field(repr=False)
    arguments: Mapping[str, Any] = field(repr=False)

    def __str__(self) -> str:
        return self.check.name

    def __call__(self, make: Callable[..., Any]) -> None:
        """Asks.

        Raises:
            ConformanceError: it failed, or did not though it was expected to.
            unittest.SkipTest: what was made gives no occasion for it; pytest skips the test.
        """
        arguments = dict(self.arguments)
        expected = dict(arguments.pop("expected_failures", None) or {})
        refuse_unknown(self.checks, expected)
        chosen = choose(self.checks, [self.check.name])
        outcomes = judge(chosen, self.subject(make, **arguments), expected)
        Report(self.check.name, outcomes).raise_for_failures()
        mine = outcomes[[each.name for each in chosen].index(self.check.name)]
        if mine.status == "skipped":
            raise SkipTest(mine.cause)
