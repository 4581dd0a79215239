"""What came of all checks, as values and as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import wrap

from fusionkit.testing.check import Outcome

__all__ = ["ConformanceError", "Report"]

WIDTH = 96


class ConformanceError(AssertionError):
    """What was checked breaks its contract; the message lists every finding, with what to do."""


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of each check, to print.

    Attributes:
        subject: the name of what was checked.
        outcomes: in the order in which they were asked.
    """

    subject: str
    outcomes: tuple[Outcome, ...]

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The checks that failed, those too that were expected to and did not."""
        return tuple(outcome for outcome in self.outcomes if outcome.status == "failed")

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return not self.failures

    def __getitem__(self, check: str) -> Outcome:
        for outcome in self.outcomes:
            if outcome.check == check:
                return outcome
        raise KeyError(check)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def raise_for_failures(self) -> None:
        """Raises all failures as one error.

        Raises:
            ConformanceError: something failed.
        """
        if self.failures:
            raise ConformanceError(f"\n{self}")

    def _lines(self) -> Iterator[str]:
        counts = {
            status: sum(outcome.status == status for outcome in self.outcomes)
            for status in ("passed", "failed", "expected", "skipped", "not run")
        }
        told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
        yield f"{self.subject}: {told or 'nothing was checked'}"
        for outcome in self.outcomes:
            if outcome.status == "failed":
                yield f"  FAILED {outcome.check}"
                for finding in outcome.findings:
                    yield _paragraph(finding.what, "    ", "- ")
                    yield _paragraph(finding.todo, "      ", "-> ")
        passed_over: dict[tuple[str, str], list[str]] = {}
        for outcome in self.outcomes:
            if outcome.status in ("expected", "skipped", "not run"):
                passed_over.setdefault((outcome.status, outcome.cause), []).append(outcome.check)
        for (status, cause), checks in passed_over.items():
            yield _paragraph(f"{', '.join(checks)} ({cause})", "  ", f"{status}: ")


def _paragraph(text: str, margin: str, lead: str = "") -> str:
    """Gives text in lines of bearable length, ``lead`` before the first."""
    return "\n".join(
        wrap(
            text,
            WIDTH,
            initial_indent=margin + lead,
            subsequent_indent=margin + " " * len(lead),
            break_long_words=False,
            break_on_hyphens=False,
        )
    )
