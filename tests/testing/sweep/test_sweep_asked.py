from __future__ import annotations

import pytest

from fusionkit.errors import ConfigError
from fusionkit.testing.backbones.all import BACKBONE_CHECKS
from fusionkit.testing.sweep.asked import STRUCTURE, choose_checks, digest, digest_of_today

SLOW = tuple(sorted(check.name for check in BACKBONE_CHECKS if check.slow))


def test_a_mark_depends_on_the_names_and_not_on_their_order() -> None:
    assert digest(["a", "b"]) == digest(["b", "a"]) != digest(["a"])


def test_today_is_everything_that_is_not_slow() -> None:
    assert digest_of_today() == digest(c.name for c in BACKBONE_CHECKS if not c.slow)
    assert digest_of_today() != digest(c.name for c in BACKBONE_CHECKS)


def test_slow_checks_come_beside_the_others() -> None:
    asked, slow = choose_checks(None, ("slow",))
    assert slow == SLOW
    assert not set(asked) & set(slow)
    assert choose_checks(STRUCTURE, ())[1] == ()


def test_what_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"there is no check 'fast'\. There are .*runs, "):
        choose_checks(None, ("fast",))
