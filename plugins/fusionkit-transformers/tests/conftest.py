"""A hub of our own: the tests never ask another one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_hub import FakeHub

HUB = FakeHub(Path(tempfile.mkdtemp(prefix="fusionkit-hub-")))
# huggingface_hub reads these once, when it is imported
os.environ["HF_ENDPOINT"] = HUB.address
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="fusionkit-hf-home-")
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_XET"] = "1"


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    HUB.requests.clear()
    yield HUB
    HUB.is_down = False
