"""Distributions that exist for one test."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

TOY = """
    import fusionkit

    def build(*, in_channels, weights, num_classes):
        raise NotImplementedError

    @fusionkit.hookimpl
    def fusionkit_backbones():
        return {"x": build, "deep/name": build}
"""

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Gives a function that puts a distribution first on sys.path, and undoes it afterwards."""
    before = set(sys.modules)
    for variable in ("DISABLE", "LOAD", "STRICT"):
        monkeypatch.delenv(f"FUSIONKIT_{variable}_PLUGINS", raising=False)

    def put(
        distribution: str,
        source: str = TOY,
        *,
        name: str | None = None,
        entry_points: str | bytes | None = None,
        version: str = "1.0",
        folder: str | None = None,
        module: str | None = None,
    ) -> Path:
        site = tmp_path / (folder or distribution)
        site.mkdir(exist_ok=True)
        module = module or distribution.replace("-", "_")
        (site / f"{module}.py").write_text(textwrap.dedent(source))
        info = site / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        )
        if entry_points is None:
            entry_points = f"[fusionkit]\n{name or module} = {module}\n"
        if isinstance(entry_points, str):
            entry_points = entry_points.encode()
        (info / "entry_points.txt").write_bytes(entry_points)
        if str(site) not in sys.path:
            monkeypatch.syspath_prepend(site)
        return site

    yield put
    for added in set(sys.modules) - before:
        origin = getattr(sys.modules[added], "__file__", None) or ""
        if origin.startswith(str(tmp_path)):
            del sys.modules[added]
