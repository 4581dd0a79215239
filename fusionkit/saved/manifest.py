"""The list of a saved folder's files with their checksums, and its own."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fusionkit
from fusionkit.errors import CheckpointError, ConfigError
from fusionkit.recipe.text import parse_json
from fusionkit.saved.texts import MAX_BYTES, read_text, write_text
from fusionkit.tensors.shards import is_shard

__all__ = [
    "EDITABLE",
    "MANIFEST",
    "checksums_beside",
    "read_editable",
    "read_manifest",
    "refuse_later",
    "write_manifest",
]

MANIFEST = "manifest.json"
FORMAT = 2
"""Since 2 there may be shards; a folder without them is still written as 1."""

EDITABLE = ("README.md",)
"""What people may edit, and load does not read; its checksum tells whether they have."""

OURS = (b'"fusionkit":', b'"self":')

FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
CHECKSUM = re.compile(r"[0-9a-f]{64}")


def write_manifest(folder: Path, files: Mapping[str, str]) -> None:
    """Writes the list of files with their checksums; the last file of a folder to be written."""
    checked = {name: checksum for name, checksum in files.items() if name not in EDITABLE}
    editable = {name: checksum for name, checksum in files.items() if name in EDITABLE}
    data: dict[str, Any] = {
        "format": FORMAT if any(is_shard(name) for name in checked) else 1,
        "fusionkit": fusionkit.__version__,
        "files": checked,
    }
    if editable:
        data["editable"] = editable
    text = json.dumps({**data, "self": _digest(data)}, indent=2) + "\n"
    write_text(folder / MANIFEST, text)


def read_manifest(folder: Path) -> dict[str, str]:
    """Gives the checksums by the names of the files, which are still to be checked.

    Raises:
        CheckpointError: the folder or the manifest is missing, damaged or of a later format.
    """
    files: dict[str, str] = _read(folder)["files"]
    return files


def checksums_beside(path: Path) -> dict[str, str]:
    """Gives the checksums of the saved folder that a file lies in, by name; of others, none.

    Raises:
        CheckpointError: the folder's manifest is damaged or of a later format.
    """
    manifest = path.parent / MANIFEST
    if not manifest.is_file():
        return {}
    try:
        with manifest.open("rb") as file:
            raw = file.read(MAX_BYTES)  # what is longer is none of ours
    except OSError as error:
        raise CheckpointError(f"cannot read {manifest}: {error}") from error
    # a word that fusionkit writes tells it from other people's manifest.json, one byte changed
    return read_manifest(path.parent) if any(word in raw for word in OURS) else {}


def read_editable(folder: Path) -> dict[str, str]:
    """Gives the checksums with which files were written that people may edit, by their names.

    Raises:
        CheckpointError: the folder or the manifest is missing, damaged or of a later format.
    """
    editable: dict[str, str] = _read(folder).get("editable", {})
    return editable


def _read(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise CheckpointError(f"{folder} is not a saved fusionkit model: it has no {MANIFEST}")
    text = read_text(path)
    try:
        data: Any = parse_json(text, str(path))
    except ConfigError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    if not isinstance(data, dict) or "self" not in data or not isinstance(data.get("files"), dict):
        raise CheckpointError(f"{path} is not the manifest of a saved fusionkit model")
    own = data.pop("self")
    if own != _digest(data):
        raise CheckpointError(
            f"{path} has changed since it was saved (its checksum differs); restore it from a "
            "copy, or save the model again"
        )
    refuse_later(data, FORMAT, path)
    editable = data.get("editable", {})
    if not isinstance(editable, dict) or not set(editable) <= set(EDITABLE):
        raise CheckpointError(f"{path}: {editable!r:.80} is not what may be edited in this folder")
    for name, checksum in {**data["files"], **editable}.items():
        if not FILE_NAME.fullmatch(name):
            raise CheckpointError(f"{path}: {name!r:.80} is not the name of a file in this folder")
        if not isinstance(checksum, str) or not CHECKSUM.fullmatch(checksum):
            raise CheckpointError(f"{path}: {name!r:.80} has no checksum")
    return data


def refuse_later(data: Mapping[str, Any], known: int, path: Path) -> None:
    """Refuses a file whose ``format`` is later than ``known``, or is none."""
    version = data.get("format")
    if type(version) is not int or version < 1:
        raise CheckpointError(f"{path}: its format is {version!r:.80}, which no fusionkit writes")
    if version > known:
        writer = data.get("fusionkit")
        by = f" by fusionkit {writer:.40}" if isinstance(writer, str) else ""
        raise CheckpointError(
            f"{path} was saved{by} in format {version}, but this is fusionkit "
            f"{fusionkit.__version__}, which reads formats up to {known}; "
            "pip install --upgrade torch-fusionkit"
        )


def _digest(data: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
