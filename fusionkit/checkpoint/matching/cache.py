"""Layouts kept on disk, so that an architecture is built for a look but once."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from fusionkit.catalog import BackboneEntry
from fusionkit.checkpoint.matching.layout import Layout, read_layout

__all__ = ["cache_folder", "cached_layout"]

FORMAT = 1
MAX_BYTES = 20_000_000


def cached_layout(entry: BackboneEntry) -> Layout:
    """Gives an architecture's layout, from the disk if it was read before.

    What was kept counts as long as the distribution that the architecture came with, and all
    that it requires, have the same versions. A file that is damaged is written anew.

    Raises:
        AssemblyError: it cannot be built without weights.
    """
    if entry.distribution is None:  # given in Python: nothing tells when it changes
        return read_layout(entry)
    path = _place(entry)
    kept = _read(path, entry.name)
    if kept is None:
        kept = read_layout(entry)
        _write(path, entry.name, kept)
    return kept


def cache_folder() -> Path:
    """Gives the folder, in the place that the system has for what can be made again."""
    if os.environ.get("XDG_CACHE_HOME"):
        home = Path(os.environ["XDG_CACHE_HOME"])
    elif sys.platform == "darwin":
        home = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        home = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        home = Path.home() / ".cache"
    return home / "fusionkit" / "layouts"


def _place(entry: BackboneEntry) -> Path:
    versions = _digest(_versions(entry.distribution or ""))[:16]
    return cache_folder() / versions / f"{_digest(entry.name)[:32]}.json"


@cache
def _versions(name: str) -> str:
    return "\n".join([f"format {FORMAT}", *_installed(name)])


def _installed(name: str) -> Iterator[str]:
    """Gives name and version of a distribution and of what it requires directly."""
    try:
        own = distribution(name)
    except PackageNotFoundError:
        return
    yield f"{name} {own.version}"
    for requirement in sorted(own.requires or ()):
        needed = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        try:
            yield f"{needed} {distribution(needed).version}"
        except PackageNotFoundError:
            continue  # an extra that is not installed


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read(path: Path, name: str) -> Layout | None:
    """Gives what a file holds, or nothing if there is none or it is damaged."""
    try:
        if path.stat().st_size > MAX_BYTES:
            return None
        data: Any = json.loads(path.read_bytes())
        text = json.dumps([data["name"], data["shapes"], data["optional"]])
        if data["name"] != name or data["sha256"] != _digest(text):
            return None
        shapes = {key: tuple(shape) for key, shape in data["shapes"].items()}
        return Layout(shapes, tuple(data["optional"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _write(path: Path, name: str, layout: Layout) -> None:
    """Writes a file whole or not at all, also while others do the same."""
    body = [name, {key: list(shape) for key, shape in layout.shapes.items()}, list(layout.optional)]
    data = dict(zip(("name", "shapes", "optional"), body, strict=True))
    fresh = path.with_suffix(f".{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps({**data, "sha256": _digest(json.dumps(body))}))
        fresh.replace(path)
    except OSError:  # without a place to keep it, it is read again the next time
        with suppress(OSError):
            fresh.unlink()
