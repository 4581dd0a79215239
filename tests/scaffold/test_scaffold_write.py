"""A folder is written whole or not at all, and never over anything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fusionkit import ConfigError
from fusionkit.scaffold.write import write_folder

FILES = {"a.txt": "ä\n", "b/c/d.txt": ""}


def test_files_are_written(tmp_path: Path) -> None:
    write_folder(tmp_path / "new", FILES)
    assert (tmp_path / "new" / "a.txt").read_bytes() == "ä\n".encode()
    assert (tmp_path / "new" / "b/c/d.txt").read_bytes() == b""
    assert os.listdir(tmp_path) == ["new"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    write_folder(tmp_path / "new", FILES)
    assert sorted(os.listdir(tmp_path / "new")) == ["a.txt", "b"]


def test_others_may_read_it_as_any_new_folder(tmp_path: Path) -> None:
    write_folder(tmp_path / "new", FILES)
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_folder_with_anything_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / ".git").mkdir()
    with pytest.raises(ConfigError, match=r"is not empty; nothing was written. Give another name"):
        write_folder(tmp_path / "new", FILES)
    assert os.listdir(tmp_path / "new") == [".git"]


@pytest.mark.parametrize("kind", ["file", "link", "broken link"])
def test_what_is_no_folder_is_left_alone(tmp_path: Path, kind: str) -> None:
    new = tmp_path / "new"
    if kind == "file":
        new.write_text("mine")
    else:
        new.symlink_to(tmp_path if kind == "link" else tmp_path / "nothing")
    with pytest.raises(ConfigError, match="is no folder; nothing was written"):
        write_folder(new, FILES)
    assert os.listdir(tmp_path) == ["new"]


def test_the_folder_around_it_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no folder .*none to make new in"):
        write_folder(tmp_path / "none" / "new", FILES)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("failing", ["write_text", "rename"])
def test_nothing_stays_of_a_write_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    whole = getattr(Path, failing)

    def fail(path: Path, *arguments: str, **options: str) -> None:
        if path.name != "a.txt":
            raise OSError(28, "No space left on device")
        whole(path, *arguments, **options)

    monkeypatch.setattr(Path, failing, fail)
    with pytest.raises(ConfigError, match=r"cannot write .*new: .*No space left"):
        write_folder(tmp_path / "new", FILES)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_somebody_else_makes_meanwhile_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def late(path: Path, target: Path) -> None:
        target.mkdir()
        (target / "theirs").touch()
        rename(path, target)

    monkeypatch.setattr(Path, "rename", late)
    with pytest.raises(ConfigError, match="cannot write"):
        write_folder(tmp_path / "new", FILES)
    assert os.listdir(tmp_path) == ["new"]
    assert os.listdir(tmp_path / "new") == ["theirs"]
