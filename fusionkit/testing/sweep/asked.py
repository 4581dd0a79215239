"""Which checks a sweep asks, and the mark by which a row tells them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from fusionkit.testing.backbones.all import BACKBONE_CHECKS
from fusionkit.testing.judge import choose, refuse_unknown

__all__ = ["LATER", "STRUCTURE", "choose_checks", "digest", "digest_of_today"]

LATER = "left to a longer sweep, and asked only of its structure"
"""Why a model is asked little on the meta device, if the next sweep will ask it everything."""

STRUCTURE = (
    *("builds", "runs", "forward_makes_no_weights", "every_parameter_is_in_one_block"),
    *("vector_is_as_declared", "levels_are_as_declared", "stages_run_in_order"),
    "keys_are_stock_keys",
)
"""What it is asked then, a second or two for each model."""


def choose_checks(
    only: Iterable[str] | None, also: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Gives the names of the checks to ask, and of the slow ones beyond them.

    Args:
        only: these, instead of all that are not slow.
        also: slow checks beyond these; ``"slow"`` for all.

    Raises:
        ConfigError: there is no such check.
    """
    asked = tuple(str(check) for check in choose(BACKBONE_CHECKS, only))
    every_slow = tuple(check.name for check in BACKBONE_CHECKS if check.slow)
    slow = every_slow if "slow" in also else also
    refuse_unknown(BACKBONE_CHECKS, slow)
    return asked, tuple(sorted(set(slow) - set(asked)))


def digest(checks: Iterable[str]) -> str:
    """Gives the mark of a set of checks, which depends on their names alone."""
    return hashlib.sha256(",".join(sorted(checks)).encode()).hexdigest()[:8]


def digest_of_today() -> str:
    """Gives the mark of all checks that are not slow, as this kit has them."""
    return digest(choose_checks(None, ())[0])
