"""What is in use stays; what is idle goes, and only then."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time

from fusionkit.cache import usage
from fusionkit.cache.usage import hold, last_use, release, remove_if_idle, touch


def test_a_folder_that_somebody_holds_is_not_removed(tmp_path):
    folder = tmp_path / "a" / "b"
    first, second = hold(folder), hold(folder)
    assert not remove_if_idle(folder)
    release(first)
    assert not remove_if_idle(folder)
    release(second)
    assert remove_if_idle(folder)
    assert not folder.exists()
    assert not remove_if_idle(folder)
    release(hold(folder))
    assert folder.is_dir()


def test_a_process_that_dies_lets_go(tmp_path):
    script = f"""
        from pathlib import Path
        from fusionkit.cache.usage import hold
        kept = hold(Path({str(tmp_path / "a")!r}))
        print("held", flush=True)
        input()
    """
    other = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdin is not None
    assert other.stdout is not None
    assert other.stdout.readline() == b"held\n"
    assert not remove_if_idle(tmp_path / "a")
    other.kill()
    other.wait()
    other.stdin.close()
    other.stdout.close()
    assert remove_if_idle(tmp_path / "a")


def test_the_last_use_is_that_of_the_stamp(tmp_path):
    assert last_use(tmp_path) == 0
    touch(tmp_path)
    assert abs(last_use(tmp_path) - time.time()) < 60
    os.utime(tmp_path / "used", (5, 5))
    assert last_use(tmp_path) == 5


def test_without_locks_only_what_was_not_used_for_a_day_is_removed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    folder = tmp_path / "a"
    assert hold(folder) is None
    touch(folder)
    assert not remove_if_idle(folder)
    os.utime(folder / "used", (5, 5))
    assert remove_if_idle(folder)


def test_a_folder_removed_while_it_is_locked_is_made_again(tmp_path, monkeypatch):
    real, calls = usage.lock_folder, []

    def slow(folder, *, shared):
        descriptor = real(folder, shared=shared)
        if not calls:
            calls.append(folder)
            folder.rmdir()
        return descriptor

    monkeypatch.setattr(usage, "lock_folder", slow)
    held = hold(tmp_path / "a")
    assert (tmp_path / "a").is_dir()
    release(held)
