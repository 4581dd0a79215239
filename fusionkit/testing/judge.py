"""Asks all checks of one subject, and holds the outcome against what was expected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fusionkit.errors import ConfigError, did_you_mean
from fusionkit.testing.check import Check, Finding, Outcome

__all__ = ["choose", "judge", "refuse_unknown"]


def choose(
    checks: Sequence[Check[Any]], only: Iterable[str] | None, on_meta: bool = False
) -> list[Check[Any]]:
    """Gives the checks to ask: those of ``only``, or all that are not slow, in their order.

    A check without which nothing else makes sense is always among them.

    Raises:
        ConfigError: there is no such check.
    """
    wanted = None if only is None else set(only)
    refuse_unknown(checks, wanted or ())
    return [
        check
        for check in checks
        if (check.on_meta or not on_meta)
        and (check.first or (not check.slow if wanted is None else check.name in wanted))
    ]


def refuse_unknown(checks: Sequence[Check[Any]], names: Iterable[str]) -> None:
    """Refuses the name of a check that does not exist.

    Raises:
        ConfigError: names it, and near ones, or all where none is near.
    """
    known = list(dict.fromkeys(check.name for check in checks))
    for name in names:
        if name not in known:
            told = did_you_mean(name, known) or f" There are {', '.join(known)}"
            raise ConfigError(f"there is no check {name!r}.{told}")


def judge(
    checks: Sequence[Check[Any]], subject: Any, expected_failures: Mapping[str, str]
) -> tuple[Outcome, ...]:
    """Gives the outcome of each check, in order.

    Args:
        checks: what to ask.
        subject: whom.
        expected_failures: the causes of known failures, by the name of the check. Passing one is
            a failure, so that the list stays true.
    """
    outcomes: list[Outcome] = []
    obstacle = ""
    for check in checks:
        if obstacle:
            outcomes.append(Outcome(check.name, "not run", cause=f"{obstacle} failed"))
            continue
        outcome = check.run(subject)
        if check.first and outcome.status == "failed":
            obstacle = check.name
        if check.name in expected_failures:
            outcome = _hold_against(outcome, expected_failures[check.name])
        outcomes.append(outcome)
    return tuple(outcomes)


def _hold_against(outcome: Outcome, cause: str) -> Outcome:
    if outcome.status == "failed":
        return replace(outcome, status="expected", cause=cause)
    if outcome.status == "passed":
        finding = Finding(
            f"it was expected to fail ({cause}), and passed",
            "take it out of the expected failures",
        )
        return replace(outcome, status="failed", findings=(finding,))
    return outcome
