"""``convert_pickle``: a trainer's pickle as a safetensors file, made by another process."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusionkit.errors import CheckpointError
from fusionkit.tensors.header import read_header

__all__ = ["Conversion", "convert_pickle"]

SUFFIX = ".safetensors"
CODE = (  # `sys` is built in: not even `json` is imported before the paths are this process's
    "import sys; sys.path[:] = sys.argv[4:]; "
    "from fusionkit.checkpoint.pickles.child import main; main(*sys.argv[1:4])"
)
SECONDS = 300
BYTES_PER_SECOND = 2_000_000


@dataclass(frozen=True, slots=True)
class Conversion:
    """What was written.

    Attributes:
        source: the pickle.
        target: the safetensors file.
        key: the dotted keys in the pickle that led to the state dict; ``"."`` for all of it.
        tensors: how many.
        values: in all of them.
        dropped: names of what is no tensor, with their types.
        shared: names whose tensor stands under an earlier name too, and was written for both.
        sha256: the checksum of the file.
    """

    source: Path
    target: Path
    key: str
    tensors: int
    values: int
    dropped: Mapping[str, str]
    shared: tuple[str, ...]
    sha256: str


def convert_pickle(
    source: Path, target: Path | None = None, *, key: str = "", force: bool = False
) -> Conversion:
    """Writes the tensors of a pickle as a safetensors file, and reads them back.

    The pickle is opened by ``torch.load(weights_only=True)`` in a process of its own, whose
    memory is bounded by several times the file's size, and never in another way.

    Args:
        source: the pickle.
        target: the file to write; by default beside the pickle.
        key: which of several state dicts, as dotted keys.
        force: whether a file that is there is replaced.

    Raises:
        CheckpointError: the pickle asks for code, is damaged, holds no state dict, or several
            and none was chosen; or the target cannot be written.
    """
    target = _beside(source) if target is None else target
    _check_paths(source, target, force)
    fresh = target.parent / f".{target.name}.new-{secrets.token_hex(4)}{SUFFIX}"
    try:
        answer = _ask(source, fresh, key)
        if "error" in answer:
            said = answer["error"].replace(str(fresh.absolute()), str(target))
            raise CheckpointError(f"{source} is not converted: {said}")
        if "choices" in answer:
            raise CheckpointError(_list(source, key, answer["choices"]))
        held = len(read_header(fresh).tensors)
        if held != answer["tensors"]:
            raise CheckpointError(f"{source} is not converted: the file written is not whole")
        _check_paths(source, target, force)  # again: that took a while
        fresh.replace(target)
    except OSError as error:
        raise CheckpointError(f"cannot write {target}: {error}") from error
    finally:
        fresh.unlink(missing_ok=True)
    return Conversion(source, target, **{**answer, "shared": tuple(answer["shared"])})


def _beside(source: Path) -> Path:
    stem = source.with_suffix("") if source.suffix == ".tar" else source
    return stem.with_suffix(SUFFIX)


def _check_paths(source: Path, target: Path, force: bool) -> None:
    if not source.is_file():
        raise CheckpointError(f"there is no file {source}")
    if source.suffix.lower() == SUFFIX:
        raise CheckpointError(f"{source} is a safetensors file already")
    if target.suffix.lower() != SUFFIX:
        raise CheckpointError(f"the name of {target} does not end with {SUFFIX}; let it")
    if not target.parent.is_dir():
        raise CheckpointError(f"there is no folder {target.parent} to write {target.name} to")
    if target.is_dir() or (target.exists() and not force):
        advice = "choose another name" if target.is_dir() else "--force replaces it"
        raise CheckpointError(f"{target} is there already; {advice}")


def _ask(source: Path, fresh: Path, key: str) -> dict[str, Any]:
    """Runs the other process, and gives its answer."""
    # The paths of this process, so that nothing beside the pickle is imported instead.
    path = [os.path.abspath(each) for each in sys.path if each]
    given = [str(source.absolute()), str(fresh.absolute()), key, *path]
    most = SECONDS + source.stat().st_size // BYTES_PER_SECOND
    try:
        done = subprocess.run(  # noqa: S603 -- ours, and no shell reads what it is given
            [sys.executable, "-c", CODE, *given],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=most,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CheckpointError(
            f"{source} is not converted: opening it took more than {most} seconds"
        ) from error
    try:
        answer: dict[str, Any] = json.loads(done.stdout.decode().splitlines()[-1])
    except (ValueError, IndexError) as error:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or [""])[-1]
        cause = f"killed by signal {-done.returncode}" if done.returncode < 0 else last
        raise CheckpointError(
            f"{source} is not converted: the process that opened it ended ({cause:.200}), for "
            "want of memory or because the file is damaged"
        ) from error
    return answer


def _list(source: Path, key: str, choices: list[dict[str, Any]]) -> str:
    said = f"has nothing under --key {key!r:.80}" if key else "holds more than one state dict"
    lines = [
        f"  --key {each['key']}  ({each['tensors']:,} tensors, {each['values']:,} values, "
        f"first {each['first']!r:.80})"
        for each in choices
    ]
    return "\n".join([f"{source} {said}; choose:", *lines])
