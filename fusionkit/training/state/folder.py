"""``write_state`` and ``read_state``: one folder, put in place in one step, checked when read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import fusionkit
from fusionkit.checkpoint.folder import replace_folder
from fusionkit.checkpoint.leftovers import recover
from fusionkit.checkpoint.space import check_space
from fusionkit.errors import CheckpointError, ResumeError
from fusionkit.saved.manifest import MANIFEST, read_manifest, refuse_later
from fusionkit.saved.texts import read_text, write_text
from fusionkit.tensors.read import read_tensors
from fusionkit.tensors.write import tensors_size, write_tensors
from fusionkit.training.state.pack import pack_state
from fusionkit.training.state.unpack import unpack_state

__all__ = ["STATE", "TENSORS", "read_state", "write_state"]

STATE = "state.json"
TENSORS = "tensors.safetensors"
FORMAT = 1
MAX_BYTES = 100_000_000
"""How long the text may be; states are mostly tensors."""


def write_state(folder: str | PathLike[str], state: Mapping[Any, Any]) -> Path:
    """Writes a nested state to a folder that ``read_state`` gives back, bit for bit.

    The state is made of mappings with text or whole numbers as keys, lists, tuples, numbers, text,
    bytes, ``None``, tensors of any type that safetensors has, on any device, and numpy's arrays
    and numbers (which come back as Python's). Any mapping comes back as a dict, but a Counter.
    The folder holds ``state.json``, ``tensors.safetensors`` and a manifest of their checksums, no
    pickle. It is written beside its place, flushed, and put there in one step, so that a killed
    process leaves the old folder or the new one.

    Args:
        folder: where to; made if need be. A state that is there is replaced.
        state: what shall be written.

    Raises:
        CheckpointError: names the path in the state of what cannot be written; or the disk is
            full, or the folder cannot be written or holds something else. What was there is kept.
    """
    if not isinstance(state, Mapping):
        raise CheckpointError(f"a state is a mapping, got {type(state).__name__}")
    target = Path(folder)
    tree, tensors = pack_state(state)
    data = {"format": FORMAT, "fusionkit": fusionkit.__version__, "state": tree}
    text = json.dumps(data, ensure_ascii=True, allow_nan=False) + "\n"
    if len(text) > MAX_BYTES:
        raise CheckpointError(
            f"the state cannot be written: beside its tensors it has {len(text):,} bytes, more "
            f"than {MAX_BYTES:,}; keep long lists of numbers in tensors"
        )

    def fill(fresh: Path) -> dict[str, str]:
        check_space(fresh, target, tensors_size(tensors) + len(text))
        files = {STATE: write_text(fresh / STATE, text)}
        if tensors:
            files[TENSORS] = write_tensors(fresh / TENSORS, tensors)
        return files

    replace_folder(target, fill)
    return target


def read_state(folder: str | PathLike[str]) -> dict[Any, Any]:
    """Gives the state that ``write_state`` wrote, tensors on the CPU, after checking every byte.

    Raises:
        ResumeError: a file is missing, cut short or changed, or no ``write_state`` wrote it.
    """
    path = Path(folder)
    try:
        recover(path.absolute())
        if not (path / MANIFEST).is_file():
            raise ResumeError(f"{path} holds no saved state: it has no {MANIFEST}")
        state = _read(path)
    except CheckpointError as error:
        raise ResumeError(f"cannot go on from {path}: {error}") from error
    except OSError as error:
        raise ResumeError(f"cannot read {path}: {error}") from error
    if not isinstance(state, dict):
        raise ResumeError(f"{path} holds no state of a run, but {type(state).__name__}")
    return state


def _read(path: Path) -> Any:
    files = read_manifest(path)
    if STATE not in files or not files.keys() <= {STATE, TENSORS}:
        raise ResumeError(f"{path} holds no saved state, but {', '.join(sorted(files)):.200}")
    text = read_text(path / STATE, files[STATE], most=MAX_BYTES)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ResumeError(f"{path / STATE} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ResumeError(f"{path / STATE} is not what write_state writes")
    refuse_later(data, FORMAT, path / STATE)
    tensors = read_tensors(path / TENSORS, sha256=files[TENSORS]) if TENSORS in files else {}
    try:
        return unpack_state(data.get("state"), tensors)
    except ResumeError as error:
        raise ResumeError(f"cannot go on from {path}: {error}") from error
    except RecursionError as error:
        raise ResumeError(f"{path / STATE} is nested too deep") from error
