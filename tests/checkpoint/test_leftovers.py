"""What killed saves leave is cleared away, and what living ones hold stays."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from broken_saves import save, value_of

from fusionkit.checkpoint import leftovers
from fusionkit.checkpoint.leftovers import fresh_folder, recover, set_aside, sweep

TOKEN = "0123456789ab"


def plant(folder: Path, name: str) -> Path:
    path = folder / name
    path.mkdir()
    (path / "file").write_text("x")
    return path


def test_f050_leftovers_of_dead_processes_are_swept(tmp_path: Path) -> None:
    save(tmp_path / "pets", 1)
    plant(tmp_path, f".pets.new-{TOKEN}")
    plant(tmp_path, f".pets.old-{TOKEN}")
    sweep(tmp_path / "pets")
    assert os.listdir(tmp_path) == ["pets"]


def test_f050_what_a_living_process_fills_stays(tmp_path: Path) -> None:
    script = f"""
        from pathlib import Path
        from fusionkit.checkpoint.leftovers import fresh_folder
        with fresh_folder(Path({str(tmp_path / "pets")!r})) as folder:
            print(folder.name, flush=True)
            input()
    """
    other = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdin is not None
    assert other.stdout is not None
    name = other.stdout.readline().decode().strip()
    sweep(tmp_path / "pets")
    assert (tmp_path / name).is_dir()
    other.kill()
    other.wait()
    other.stdin.close()
    other.stdout.close()
    sweep(tmp_path / "pets")
    assert os.listdir(tmp_path) == []


def test_f050_another_thread_of_the_same_process_is_alive_too(tmp_path: Path) -> None:
    with fresh_folder(tmp_path / "pets") as one, fresh_folder(tmp_path / "pets") as two:
        sweep(tmp_path / "pets")
        assert one.is_dir()
        assert two.is_dir()
        assert one != two
    assert os.listdir(tmp_path) == []


def test_names_that_only_look_alike_stay(tmp_path: Path) -> None:
    save(tmp_path / "pets", 1)
    alike = [
        f".pets2.new-{TOKEN}",
        f".my.pets.new-{TOKEN}",
        f".petsXnew-{TOKEN}",
        ".pets.new-1234",
        ".pets.new-notes",
        f"pets.new-{TOKEN}",
        f".pets.new-{TOKEN}.txt",
    ]
    for name in alike:
        plant(tmp_path, name)
    (tmp_path / f".pets.old-{TOKEN}").write_text("a file, not a folder")
    (tmp_path / f".pets.new-{TOKEN}").symlink_to(tmp_path / "pets")
    sweep(tmp_path / "pets")
    assert value_of(tmp_path / "pets") == "1"
    assert set(alike) < set(os.listdir(tmp_path))
    assert len(os.listdir(tmp_path)) == len(alike) + 3


def test_an_old_folder_is_put_back_where_the_target_is_missing(tmp_path: Path) -> None:
    for restore in (recover, sweep):
        save(tmp_path / "pets", 1)
        (tmp_path / "pets").rename(tmp_path / f".pets.old-{TOKEN}")
        restore(tmp_path / "pets")
        assert value_of(tmp_path / "pets") == "1"
        assert os.listdir(tmp_path) == ["pets"]


def test_a_half_written_folder_is_never_taken_for_the_target(tmp_path: Path) -> None:
    plant(tmp_path, f".pets.new-{TOKEN}")
    recover(tmp_path / "pets")
    assert not (tmp_path / "pets").exists()


def test_what_a_living_process_has_set_aside_is_not_touched(tmp_path: Path) -> None:
    save(tmp_path / "pets", 1)
    with set_aside(tmp_path / "pets"):
        (aside,) = tmp_path.iterdir()
        assert aside.name.startswith(".pets.old-")
        sweep(tmp_path / "pets")
        recover(tmp_path / "pets")
        assert list(tmp_path.iterdir()) == [aside]
    assert value_of(tmp_path / "pets") == "1", "nothing took its place, so it is put back"


def test_without_locks_only_what_is_a_day_old_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    save(tmp_path / "pets", 1)
    young = plant(tmp_path, f".pets.new-{TOKEN}")
    old = plant(tmp_path, ".pets.new-ba9876543210")
    then = time.time() - leftovers.DAY - 60
    os.utime(old, (then, then))
    sweep(tmp_path / "pets")
    assert young.is_dir()
    assert not old.exists()
    save(tmp_path / "pets", 2)
    assert value_of(tmp_path / "pets") == "2"


def test_a_system_without_locks_saves_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    for value in (1, 2):
        save(tmp_path / "pets", value)
    assert value_of(tmp_path / "pets") == "2"


def test_a_fresh_folder_that_a_sweep_took_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = leftovers.lock_folder
    taken = []

    def lock(folder: Path) -> int | None:
        if not taken:
            taken.append(folder)
            folder.rmdir()
        return real(folder)

    monkeypatch.setattr(leftovers, "lock_folder", lock)
    with fresh_folder(tmp_path / "pets") as folder:
        assert folder.is_dir()
        assert folder not in taken


def test_a_place_without_leftovers_is_fine(tmp_path: Path) -> None:
    sweep(tmp_path / "absent" / "pets")
    recover(tmp_path / "absent" / "pets")
    (tmp_path / "file").write_text("")
    recover(tmp_path / "file" / "pets")
