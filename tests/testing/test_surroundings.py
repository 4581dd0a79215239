"""What a block changes for the whole process is told and put back."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from evil_keeping import MEDDLING

from fusionkit.testing.surroundings import put_back, settings

ELSEWHERE = (
    *("seeds torch", "seeds numpy", "seeds Python", "warnings", "environment", "import path"),
    *("a thread", "a file", "threads", "a note", "a text"),
)
ACTIONS = [name for name in MEDDLING if name not in ELSEWHERE]


@pytest.mark.parametrize("name", ACTIONS)
def test_it_is_told_and_put_back(name: str) -> None:
    action, says = MEDDLING[name]
    before = [setting.read() for setting in settings()]
    with put_back() as notes:
        action()
    assert len(notes) == 1
    assert says.removeprefix("the ").removeprefix("from ") in notes[0]
    assert [setting.read() for setting in settings()] == before


def test_the_values_are_told_where_they_mean_something() -> None:
    threads = torch.get_num_threads()
    with put_back() as notes:
        torch.set_num_threads(threads + 1)
        torch.set_default_dtype(torch.float64)
    assert notes == [
        "torch's default dtype, from torch.float32 to torch.float64",
        f"the number of torch's threads, from {threads} to {threads + 1}",
    ]
    assert torch.get_num_threads() == threads


def test_an_untouched_block_has_nothing_to_tell() -> None:
    with put_back() as notes:
        torch.ones(2).sum()
    assert notes == []


def test_it_is_put_back_after_an_error_too(tmp_path: Path) -> None:
    here = Path.cwd()

    def fail() -> None:
        os.chdir(tmp_path)
        raise ValueError

    with pytest.raises(ValueError), put_back() as notes:  # noqa: PT011
        fail()
    assert notes == [f"the working folder, from {here} to {tmp_path}"]
    assert Path.cwd() == here


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda: torch.set_autocast_enabled("cpu", True), "autocast on the CPU"),
        (lambda: torch.set_anomaly_enabled(True), "torch's anomaly mode"),
        (lambda: sys.setrecursionlimit(5000), "the recursion limit"),
        (lambda: logging.disable(logging.INFO), "the root logger"),
        (lambda: signal.signal(signal.SIGUSR1, lambda *_: None), "the handlers of signals"),
        (
            lambda: torch.use_deterministic_algorithms(True, warn_only=True),
            "torch's deterministic mode, from off to on, with warnings only",
        ),
    ],
)
def test_other_settings(change: Callable[[], object], what: str) -> None:
    before = [setting.read() for setting in settings()]
    with put_back() as notes:
        change()
    assert len(notes) == 1
    assert notes[0].startswith(what)
    assert [setting.read() for setting in settings()] == before


def test_signals_are_left_to_the_main_thread() -> None:
    told: list[str] = []

    def work() -> None:
        with put_back() as notes:
            torch.set_anomaly_enabled(True)
        told.extend(notes)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert told == ["torch's anomaly mode, from False to True"]
    assert not torch.is_anomaly_enabled()


def test_a_default_device_is_seen_where_a_block_has_one_of_its_own() -> None:
    with torch.device("meta"):
        with put_back() as notes:
            torch.set_default_device("meta")
        assert torch.ones(1).is_meta
    assert notes == ["torch's default device"]
    assert not torch.ones(1).is_meta
