"""Where the cache lies and how much memory it takes, where nothing else is said."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["default_folder", "memory_share"]


def default_folder() -> Path:
    """Gives ``FUSIONKIT_CACHE``, or ``fusionkit/features`` in the user's folder for caches."""
    if named := os.environ.get("FUSIONKIT_CACHE"):
        return Path(named).absolute()
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache").absolute() / "fusionkit" / "features"


def memory_share() -> int:
    """Gives a quarter of the memory that this process may use, in bytes."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        total = 8 << 30
    with suppress(OSError, ValueError):  # a container without a bound
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return total // 4
