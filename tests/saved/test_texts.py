"""Small files are read whole and checked, or refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import fusionkit as fk
from fusionkit.saved.texts import MAX_BYTES, read_text, write_text


def test_what_is_written_is_read_with_its_checksum(tmp_path: Path) -> None:
    checksum = write_text(tmp_path / "x", "grün\n")
    assert checksum == hashlib.sha256("grün\n".encode()).hexdigest()
    assert read_text(tmp_path / "x") == read_text(tmp_path / "x", checksum) == "grün\n"


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    checksum = write_text(tmp_path / "x", "one")
    (tmp_path / "x").write_text("two")
    with pytest.raises(fk.CheckpointError, match=r"x has changed since it was saved .*; restore"):
        read_text(tmp_path / "x", checksum)


def test_a_missing_file_a_link_and_a_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    (tmp_path / "folder").mkdir()
    for name in ("absent", "link", "folder"):
        with pytest.raises(
            fk.CheckpointError, match=f"{name} is missing; fetch it, or save the model"
        ):
            read_text(tmp_path / name)


def test_what_is_no_text_and_what_is_too_long_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xff\xfe")
    with pytest.raises(fk.CheckpointError, match=r"cannot read .*x"):
        read_text(tmp_path / "x")
    (tmp_path / "x").write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(fk.CheckpointError, match="longer than 4,000,000 bytes"):
        read_text(tmp_path / "x")


def test_a_file_that_exists_is_not_written_over(tmp_path: Path) -> None:
    write_text(tmp_path / "x", "one")
    with pytest.raises(FileExistsError):
        write_text(tmp_path / "x", "two")
