"""What holds where nothing is said."""

from __future__ import annotations

import os
from pathlib import Path

from fusionkit.cache import defaults
from fusionkit.cache.defaults import default_folder, memory_share


def test_the_default_folder_is_the_users(monkeypatch):
    monkeypatch.delenv("FUSIONKIT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_folder() == Path("/somewhere/fusionkit/features")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_folder() == Path.home() / ".cache/fusionkit/features"


def test_memory_is_a_quarter_of_what_there_is(monkeypatch):
    assert 0 < memory_share() < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 3
    monkeypatch.delattr(defaults.os, "sysconf")
    assert memory_share() <= 2 << 30
