"""A folder is the old one or the new one, whatever happens while it is written."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest
from broken_saves import save, value_of

import fusionkit as fk
from fusionkit.checkpoint import folder as folder_module
from fusionkit.checkpoint.folder import replace_folder

SCRIPT = Path(__file__).with_name("broken_saves.py")


@pytest.fixture(params=["swap", "no-swap"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test where folders can change places in one step, and where they cannot."""
    if request.param == "no-swap":
        monkeypatch.setattr(folder_module, "swap", lambda *_: False)
    return request.param


def run(*arguments: object) -> list[list[str]]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)], check=True, capture_output=True
    )
    return [line.split() for line in done.stdout.decode().splitlines()]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_is_made_and_replaced_and_nothing_else_is_left(tmp_path: Path, way: str) -> None:
    target = tmp_path / "deep" / "down" / "pets"
    for value in (1, 2, 3):
        save(target, value)
        assert value_of(target) == str(value)
        assert names(target) == ["config.json", "manifest.json", "model.safetensors"]
        assert names(target.parent) == ["pets"]


def test_an_empty_folder_is_replaced(tmp_path: Path, way: str) -> None:
    (tmp_path / "pets").mkdir()
    save(tmp_path / "pets", 1)
    assert value_of(tmp_path / "pets") == "1"


@pytest.mark.parametrize("name", ["a b", "[x]*?", "päts", ".hidden", "-v", "new-0123456789ab"])
def test_any_name_of_a_folder_will_do(tmp_path: Path, way: str, name: str) -> None:
    for value in (1, 2):
        save(tmp_path / name, value)
    assert value_of(tmp_path / name) == "2"
    assert names(tmp_path) == [name]


def test_a_relative_path_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    save(Path("pets"), 1)
    save(Path("runs/../pets"), 2)
    assert value_of(tmp_path / "pets") == "2"


def test_f047_killed_at_any_call_the_folder_is_always_there_and_whole(tmp_path: Path) -> None:
    lines = run("at-each-call", tmp_path / "x" / "pets")
    assert len(lines) > 30
    assert {call for call, *_ in lines} >= {"mkdir", "fsync", "write", "rmdir"}
    assert {tuple(rest) for _, *rest in lines} == {
        ("there", "0", "2", "0"),
        ("there", "1", "2", "0"),
    }
    values = [found for _, _, found, *_ in lines]
    assert values == sorted(values), "the new one is there once and for all"


def test_f047_killed_at_any_call_without_a_swap_the_folder_comes_back(tmp_path: Path) -> None:
    lines = run("at-each-call", tmp_path / "x" / "pets", "no-swap")
    assert {tuple(rest) for _, *rest in lines} == {
        ("there", "0", "2", "0"),
        ("away", "0", "2", "0"),
        ("there", "1", "2", "0"),
    }


@pytest.mark.parametrize("how", ["swap", "no-swap"])
def test_f047_killed_at_random_no_save_that_was_done_is_lost(tmp_path: Path, how: str) -> None:
    *kills, left = run("at-random", tmp_path / "pets", how)
    assert len(kills) == 20
    for done, found in kills:
        assert int(found) in (int(done), int(done) + 1)
    assert int(kills[-1][1]) > 0
    assert left == ["pets"]


@pytest.mark.parametrize("how", ["swap", "no-swap"])
def test_f047_two_processes_that_save_to_one_target_leave_one_whole_folder(
    tmp_path: Path, how: str
) -> None:
    target = tmp_path / "pets"
    command = [sys.executable, str(SCRIPT), "forever", str(target)]
    writers = [
        subprocess.Popen([*command, "1", "2", how], stderr=subprocess.PIPE),
        subprocess.Popen([*command, "2", "2", how], stderr=subprocess.PIPE),
    ]
    for writer in writers:
        _, said = writer.communicate(timeout=120)
        assert writer.returncode == 0, said.decode()
    assert value_of(target) in ("19", "20")
    assert names(tmp_path) == ["pets"]


def test_all_is_flushed_before_it_is_put_in_place_and_the_place_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "pets", 1)
    events: list[str] = []
    fsync, swap = os.fsync, folder_module.swap

    def spy_fsync(descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        events.append(Path(path).name.partition("-")[0])
        fsync(descriptor)

    def spy_swap(*paths: Path) -> bool:
        events.append("swap")
        assert names(paths[0]) == ["config.json", "manifest.json", "model.safetensors"]
        return swap(*paths)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(folder_module, "swap", spy_swap)
    save(tmp_path / "pets", 2)
    *before, manifest, folder, swapped, parent = events
    assert sorted(before) == ["config.json", "model.safetensors"]
    assert (manifest, folder, swapped) == ("manifest.json", ".pets.new", "swap")
    assert tmp_path.name.startswith(parent)


def fail(error: BaseException) -> object:
    def fill(fresh: Path) -> Mapping[str, str]:
        (fresh / "half").write_text("x")
        raise error

    return fill


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EFBIG, "a file may not be that large here"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_f048_a_write_that_fails_is_explained_and_keeps_what_was_there(
    tmp_path: Path, code: int, cause: str
) -> None:
    target = tmp_path / "pets"
    error = OSError(code, os.strerror(code))
    with pytest.raises(
        fk.CheckpointError, match=f"cannot save to .*pets: .*{cause}.*; nothing was"
    ):
        replace_folder(target, fail(error))
    assert names(tmp_path) == []
    save(target, 1)
    with pytest.raises(fk.CheckpointError, match=f"{cause}.*; what was there before is kept"):
        replace_folder(target, fail(error))
    assert value_of(target) == "1"
    assert names(tmp_path) == ["pets"]


def test_an_interrupt_keeps_what_was_there_and_leaves_nothing(tmp_path: Path) -> None:
    save(tmp_path / "pets", 1)
    with pytest.raises(KeyboardInterrupt):
        replace_folder(tmp_path / "pets", fail(KeyboardInterrupt()))
    assert value_of(tmp_path / "pets") == "1"
    assert names(tmp_path) == ["pets"]


@pytest.mark.parametrize("how", ["swap", "no-swap"])
def test_a_step_that_fails_at_the_end_keeps_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    save(tmp_path / "pets", 1)

    def refuse(*_: object) -> bool:
        raise OSError(errno.EACCES, "Permission denied")

    if how == "swap":
        monkeypatch.setattr(folder_module, "swap", refuse)
    else:
        monkeypatch.setattr(folder_module, "swap", lambda *_: False)
        real = Path.rename

        def rename(self: Path, to: Path) -> Path:
            return refuse() if ".new-" in self.name else real(self, to)  # type: ignore[return-value]

        monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(fk.CheckpointError, match="Permission denied; what was there before is"):
        save(tmp_path / "pets", 2)
    assert value_of(tmp_path / "pets") == "1"
    assert names(tmp_path) == ["pets"]


def test_f048_a_file_limit_of_the_process_keeps_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "pets"
    save(target, 1)
    script = f"""
        import resource, sys
        sys.path.insert(0, {str(SCRIPT.parent)!r})
        from pathlib import Path
        import fusionkit as fk
        from broken_saves import save
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        try:
            save(Path({str(target)!r}), 2)
        except fk.CheckpointError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], check=True, capture_output=True
    )
    assert "a file may not be that large here" in done.stdout.decode()
    assert "what was there before is kept" in done.stdout.decode()
    assert value_of(target) == "1"
    assert names(tmp_path) == ["pets"]


def test_f049_folder_and_files_have_the_mode_that_the_umask_says(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        save(tmp_path / "pets", 1)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "pets").stat().st_mode) == 0o750
    for file in (tmp_path / "pets").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_what_somebody_puts_there_meanwhile_is_not_lost(tmp_path: Path) -> None:
    target = tmp_path / "pets"
    save(target, 1)

    def fill(fresh: Path) -> dict[str, str]:
        (target / "notes.txt").write_text("mine")
        return {}

    with pytest.raises(fk.CheckpointError, match=r"notes\.txt"):
        replace_folder(target, fill)
    assert (target / "notes.txt").read_text() == "mine"
    assert names(tmp_path) == ["pets"]


def test_a_target_that_others_keep_taking_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken(*_: object) -> bool:
        raise FileNotFoundError(errno.ENOENT, "gone")

    save(tmp_path / "pets", 1)
    monkeypatch.setattr(folder_module, "swap", taken)
    monkeypatch.setattr(folder_module, "PAUSE", 0)
    with pytest.raises(fk.CheckpointError, match="other processes keep replacing it"):
        save(tmp_path / "pets", 2)
    assert value_of(tmp_path / "pets") == "1"
