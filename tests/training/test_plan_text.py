"""The plan's text can be read at a glance, in any width."""

from __future__ import annotations

import pytest
from loops import build

from fusionkit.training import plan
from fusionkit.training.plan_text import format_plan


def test_by_hand() -> None:
    text = format_plan(plan(build(), 5, lr=1e-2), width=80)
    assert text.splitlines() == [
        "epoch        0       1       2       3       4",
        "",
        "a",
        "  stem       .       .       .       .       .",
        "  body       .       .       .       .  1.7e-3",
        "  top        .       .  1.7e-3  3.3e-3  5.0e-3",
        "",
        "b",
        "  stem       .       .       .       .       .",
        "  body       .       .       .       ?       ?",
        "  top        .       .       .       ?       ?",
        "",
        "head    1.0e-2  1.0e-2  1.0e-2  1.0e-2  1.0e-2",
        "",
        ". frozen; ? thaws when val_loss stalls",
    ]


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("epochs", [1, 7, 100])
def test_it_fits_and_shows_the_first_epoch_and_the_last(width: int, epochs: int) -> None:
    lines = format_plan(plan(build(), epochs, lr=1e-2), width=width).splitlines()
    shown = [int(number) for number in lines[0].split()[1:]]
    assert shown[0] == 0
    assert shown[-1] == epochs - 1
    assert shown == sorted(set(shown))
    if len(shown) > 2:
        assert max(map(len, lines[:-1])) <= width
    if len(shown) < epochs:
        assert lines[-1].endswith(f"{len(shown)} of {epochs} epochs are shown")


def test_epochs_of_thaws_are_kept() -> None:
    lines = str(plan(build(), 100, lr=1e-2)).splitlines()
    assert {0, 2, 3, 4, 5, 6, 99} <= {int(number) for number in lines[0].split()[1:]}
