"""Every planted fault is caught by the check that should, and by no other of its group."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from evil_keeping import EVIL, LOG, MISPLACED, OPENED, REGISTRY, SLOW_EVIL, STOP, CountsForAll, Evil

import fusionkit.testing as kit
from fusionkit.testing.backbones.keeping import CHECKS

QUICK = [check.name for check in CHECKS if not check.slow]
SLOW = [check.name for check in CHECKS if check.slow]


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    """Puts back what the evil ones leave behind, and what a build does not undo by itself."""
    environment, path = dict(os.environ), list(sys.path)
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    yield
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = path
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
    MISPLACED.data.fill_(1.0)
    CountsForAll.trained = 0.0
    REGISTRY.clear()
    LOG.unlink(missing_ok=True)
    STOP.set()
    STOP.clear()
    while OPENED:
        OPENED.pop().close()


def caught(evil: Evil, checks: list[str]) -> kit.Report:
    report = kit.check_backbone(evil.make, only=checks, on_fail="report", **evil.arguments)
    assert {each.check for each in report.failures} == set(evil.caught_by), str(report)
    assert "".join(evil.says.split()) in "".join(str(report).split()), str(report)
    assert all(finding.todo for each in report.failures for finding in each.findings)
    return report


@pytest.mark.parametrize("name", EVIL)
@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_it_is_caught(name: str) -> None:
    caught(EVIL[name], QUICK)


@pytest.mark.parametrize("name", SLOW_EVIL)
def test_it_is_caught_when_it_is_asked(name: str) -> None:
    caught(SLOW_EVIL[name], SLOW)


def test_the_quick_checks_see_nothing_in_what_only_the_slow_ones_catch() -> None:
    for name in ("compiles after all", "exports after all", "other without data"):
        kit.check_backbone(SLOW_EVIL[name].make, only=QUICK)
