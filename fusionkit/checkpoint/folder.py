"""Writes a folder beside its target and puts it in place in one step."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fusionkit.errors import CheckpointError, ConfigError
from fusionkit.recipe.text import parse_json

__all__ = ["MANIFEST", "check_replaceable", "read_manifest", "recover", "replace_folder"]

MANIFEST = "manifest.json"
FORMAT = 1


def replace_folder(target: Path, fill: Callable[[Path], None]) -> None:
    """Fills a new folder and puts it at ``target``, which is afterwards the old or the new one.

    What ``fill`` writes is flushed to disk and listed with its checksum in ``manifest.json``,
    which comes last. A target that exists is replaced if it holds nothing but what its own
    manifest lists. Killed between the two renames, the old folder waits beside the target, and
    ``recover`` puts it back.

    Raises:
        CheckpointError: the target cannot be written, or holds files of somebody else.
    """
    target = target.absolute()
    check_replaceable(target)
    fresh = _beside(target, "tmp")
    old = _beside(target, "old")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        recover(target)
        _sweep(target)
        fresh.mkdir()
        fill(fresh)
        _write_manifest(fresh)
        if target.exists():
            target.rename(old)
        fresh.rename(target)
        _flush(target.parent)
    except OSError as error:
        recover(target)
        raise CheckpointError(
            f"cannot write {target}: {error}; what was there before is kept"
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)


def recover(target: Path) -> None:
    """Puts back the old folder where a save was killed between its two renames."""
    target = target.absolute()
    if target.exists():
        return
    for old in sorted(target.parent.glob(f".{target.name}.old-*")):
        if (old / MANIFEST).is_file():
            old.rename(target)
            return


def read_manifest(folder: Path) -> dict[str, str]:
    """Checks every file of a folder against its manifest and gives the checksums by name.

    Raises:
        CheckpointError: a file is missing, is too much, or has changed since it was saved.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        raise CheckpointError(f"there is no folder {folder}")
    if not path.is_file():
        raise CheckpointError(f"{folder} is not a saved fusionkit model: it has no {MANIFEST}")
    files = _parse_manifest(path)
    for name, expected in files.items():
        file = folder / name
        if file.is_symlink() or not file.is_file():
            raise CheckpointError(f"{folder}: {name} is missing; save the model again")
        if _checksum(file) != expected:
            raise CheckpointError(
                f"{file} has changed since it was saved (its checksum differs); "
                "restore it from a copy, or save the model again"
            )
    return files


def _parse_manifest(path: Path) -> dict[str, str]:
    try:
        data: Any = parse_json(path.read_text(encoding="utf-8"), str(path))
        if not isinstance(data, dict) or not isinstance(data.get("files"), dict):
            raise ConfigError("it lists no files")
        if data.get("format") != FORMAT:
            raise ConfigError(
                f"it is of format {data.get('format')!r}, but this fusionkit reads {FORMAT}; "
                "install a newer torch-fusionkit"
            )
        if data.get("self") != _digest(data["files"]):
            raise ConfigError("it has changed since it was saved")
        for name in data["files"]:
            if Path(name).name != name or name in ("", ".", ".."):
                raise ConfigError(f"{name!r} is not the name of a file in this folder")
    except (OSError, UnicodeDecodeError, ConfigError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    files: dict[str, str] = data["files"]
    return files


def _write_manifest(folder: Path) -> None:
    files = {}
    for file in sorted(folder.iterdir()):
        file.chmod(0o666 & ~_umask())
        _flush(file)
        files[file.name] = _checksum(file)
    data = {"format": FORMAT, "files": files, "self": _digest(files)}
    path = folder / MANIFEST
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    _flush(path)
    _flush(folder)


def check_replaceable(target: Path) -> None:
    """Refuses a target that exists and is not a folder that a save wrote, and nothing else."""
    if target.is_symlink():
        raise CheckpointError(f"{target} is a link; save to a folder itself")
    if not target.exists():
        return
    if not target.is_dir():
        raise CheckpointError(f"{target} is a file; save to a folder")
    known: set[str] = set()
    if (target / MANIFEST).is_file():
        known = {MANIFEST, *_listed(target / MANIFEST)}
    strangers = sorted(file.name for file in target.iterdir() if file.name not in known)
    if strangers:
        raise CheckpointError(
            f"{target} holds {strangers[0]!r}, which no save wrote; choose another folder, so "
            "that nothing of yours is replaced"
        )


def _listed(manifest: Path) -> list[str]:
    """Gives the names that a manifest lists, however damaged: enough to know whose they are."""
    try:
        return list(json.loads(manifest.read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return ["config.json", "model.safetensors"]


def _beside(target: Path, kind: str) -> Path:
    return target.with_name(f".{target.name}.{kind}-{os.getpid()}")


def _sweep(target: Path) -> None:
    """Removes what killed saves of processes that are gone have left beside the target."""
    for leftover in target.parent.glob(f".{target.name}.*-*"):
        _, _, owner = leftover.name.rpartition("-")
        if owner.isdigit() and (int(owner) == os.getpid() or not _alive(int(owner))):
            shutil.rmtree(leftover, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _checksum(file: Path) -> str:
    with file.open("rb") as stream:
        if hasattr(hashlib, "file_digest"):
            return hashlib.file_digest(stream, "sha256").hexdigest()
        digest = hashlib.sha256()  # Python 3.10
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
        return digest.hexdigest()


def _digest(files: dict[str, str]) -> str:
    text = json.dumps({"format": FORMAT, "files": files}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
