"""The command, run as a user would, with a provider that exists for these tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Gives a function that runs ``python -m fusionkit.testing``; it knows the provider rough."""
    site = tmp_path_factory.mktemp("site")
    shutil.copy(Path(__file__).with_name("rough_provider.py"), site)
    info = site / "rough_provider-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rough-provider\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fusionkit]\nrough = rough_provider\n")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "fusionkit.testing", *map(str, arguments)],
            check=False,
            env={**os.environ, "PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run
