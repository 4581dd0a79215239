"""A place to save to is checked before anything is spent on what goes there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import fusionkit as fk
from fusionkit.checkpoint.target import check_target


def test_new_nested_and_empty_folders_are_taken_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for target in ("new", "a/b/c", "empty"):
        check_target(tmp_path / target)
    check_target(str(tmp_path / "text"))
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_f054_what_save_would_refuse_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "photo.jpg").write_text("")
    for target, cause in (("file", "is a file"), ("link", "is a link"), ("full", "photo.jpg")):
        with pytest.raises(fk.CheckpointError, match=cause):
            check_target(tmp_path / target)


def test_f054_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(fk.CheckpointError, match="cannot write"):
        check_target(tmp_path / "file" / "model")


def test_f054_a_place_without_permission_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(fk.CheckpointError, match="Permission denied"):
        check_target(tmp_path / "model")


def test_f054_a_folder_of_somebody_elses_is_refused_though_its_names_are_ours(
    tmp_path: Path,
) -> None:
    (tmp_path / "manifest.json").write_text('{"manifest_version": 3, "name": "an extension"}')
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(fk.CheckpointError, match="cannot be told whether a save wrote what it"):
        check_target(tmp_path)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(fk.CheckpointError, match=r"holds .config\.json., which no save wrote"):
        check_target(tmp_path)


def test_f054_a_place_that_cannot_be_moved_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for target in ("/", tmp_path / ".."):
        with pytest.raises(fk.CheckpointError, match="name a folder that save may make"):
            check_target(target)
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == tmp_path)
    with pytest.raises(fk.CheckpointError, match=r"where a disk is mounted.* in it, for example"):
        check_target(tmp_path)
