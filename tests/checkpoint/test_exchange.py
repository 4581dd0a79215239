"""Two folders change places, or the caller is told that they cannot."""

from __future__ import annotations

import ctypes
import errno
import sys
from pathlib import Path

import pytest

from fusionkit.checkpoint.exchange import swap


def two(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    return tmp_path / "a", tmp_path / "b"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="knows of Linux file systems")
def test_two_folders_change_places(tmp_path: Path) -> None:
    one, other = two(tmp_path)
    assert swap(one, other)
    assert (one / "file").read_text() == "b"
    assert (other / "file").read_text() == "a"


def test_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    one, other = two(tmp_path)
    with pytest.raises(FileNotFoundError):
        swap(one, tmp_path / "absent")
    assert (one / "file").read_text() == "a"
    assert (other / "file").read_text() == "b"


class Library:
    """A C library whose call fails in one way."""

    def __init__(self, code: int) -> None:
        self.code = code

    def renameat2(self, *_: object) -> int:
        ctypes.set_errno(self.code)
        return -1

    renamex_np = renameat2


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP])
def test_a_file_system_that_cannot_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    one, other = two(tmp_path)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Library(code))
    assert not swap(one, other)
    assert (one / "file").read_text() == "a"


@pytest.mark.parametrize("missing", [object(), None])
def test_a_system_without_the_call_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: object
) -> None:
    def load(*_: object, **__: object) -> object:
        if missing is None:
            raise TypeError("bad argument type for built-in operation")  # as on Windows
        return missing

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert not swap(*two(tmp_path))


def test_any_other_failure_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Library(errno.EACCES))
    with pytest.raises(PermissionError):
        swap(*two(tmp_path))
