"""What all tests share: data that may be absent, one thread, signals as in a terminal."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Gives the folder of real images and weights, or skips where there is none."""
    default = Path(__file__).parents[2] / "shared"
    data = Path(os.environ.get("FUSIONKIT_SHARED", default)) / "data"
    if not data.is_dir():
        pytest.skip(f"the shared images and weights are not at {data}; set FUSIONKIT_SHARED")
    return data


@pytest.fixture
def hangups() -> Iterator[None]:
    """Has SIGHUP act as it does in a terminal, where ``nohup`` would have it ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)
