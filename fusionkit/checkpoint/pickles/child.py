"""Opens one pickle with torch's weights-only loader; run in a process of its own.

It is given the paths of the pickle and of the file to write and perhaps a key, and answers with
one line of JSON on its standard output.
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fusionkit.checkpoint.pickles.extract import extract
from fusionkit.checkpoint.pickles.inert import KNOWN, stand_in
from fusionkit.checkpoint.pickles.nested import find_states
from fusionkit.errors import CheckpointError
from fusionkit.tensors.read import read_tensors
from fusionkit.tensors.write import write_tensors

__all__ = ["main"]

MOST_KINDS = 100
"""Of settings, for each of which the file is opened once more."""
SPARE = 512 << 20
COPIES = 4
MOST_CHOICES = 20
REFUSED = re.compile(r"GLOBAL (\S+)")
UNPICKLER = "WeightsUnpickler error: "


def main(source: str, target: str, key: str) -> None:
    """Converts, and writes the answer: a report, the choices, or an error.

    Args:
        source: the path of the pickle.
        target: the path of the safetensors file, which must not exist.
        key: which state dict; empty where there is but one.
    """
    answer: dict[str, Any]
    try:
        answer = _convert(Path(source), Path(target), key)
    except CheckpointError as error:
        answer = {"error": str(error)}
    except OSError as error:
        answer = {"error": f"cannot read or write it: {error}"}
    except MemoryError:
        answer = {"error": MEMORY}
    sys.stdout.write(json.dumps(answer) + "\n")


MEMORY = (
    "it takes more memory than several times its size, which was refused; it is damaged, or made "
    "to fill the memory"
)


def _convert(source: Path, target: Path, key: str) -> dict[str, Any]:
    size = source.stat().st_size
    _refuse_compressed(source, size)
    _limit_memory(COPIES * size + SPARE)
    states = find_states(_load(source))
    if not states:
        raise CheckpointError("it holds no state dict, which is a mapping from names to tensors")
    if key not in states and (key or len(states) > 1):
        return {"choices": [_choice(*each) for each in list(states.items())[:MOST_CHOICES]]}
    key = key or next(iter(states))
    taken = extract(states[key], size)
    checksum = write_tensors(target, taken.tensors)
    _compare(taken.tensors, read_tensors(target, sha256=checksum))
    return {
        "key": key,
        "tensors": len(taken.tensors),
        "values": sum(value.numel() for value in taken.tensors.values()),
        "dropped": taken.dropped,
        "shared": list(taken.shared),
        "sha256": checksum,
    }


def _refuse_compressed(source: Path, size: int) -> None:
    """Refuses an archive that unpacks to more than it is; torch never compresses."""
    if not zipfile.is_zipfile(source):
        return
    with zipfile.ZipFile(source) as archive:
        entries = archive.infolist()
    if any(each.compress_type != zipfile.ZIP_STORED for each in entries) or (
        sum(each.file_size for each in entries) > size
    ):
        raise CheckpointError("it is a compressed archive, which torch.save never writes")


def _limit_memory(more: int) -> None:
    """Lets the process take so many bytes more than it has, where the system can tell."""
    try:
        import resource

        status = Path("/proc/self/status").read_text(encoding="ascii")
    except (ImportError, OSError):  # Windows, macOS
        return
    found = re.search(r"VmData:\s+(\d+) kB", status)
    if found:
        most = int(found[1]) * 1024 + more
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if hard == resource.RLIM_INFINITY or most < hard:
            resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _load(source: Path) -> object:
    stood_for = dict(KNOWN)
    while True:
        allowed: list[Any] = [(each, name) for name, each in stood_for.items()]
        try:
            with torch.serialization.safe_globals(allowed):
                return torch.load(source, map_location="cpu", weights_only=True)
        except MemoryError:
            raise
        except Exception as error:  # the loader raises whatever a damaged file makes it raise
            refused = REFUSED.search(str(error))
            name = refused[1] if refused else ""
            instead = stand_in(name)
            if instead is None or name in stood_for or len(stood_for) > MOST_KINDS:
                raise CheckpointError(_explain(str(error))) from error
            stood_for[name] = instead


def _explain(said: str) -> str:
    refused = REFUSED.search(said)
    if refused:
        return (
            f"it asks for {refused[1]!r:.120}, which is code and not weights, so it was not "
            "opened and nothing of it was run; ask its author for a file with the state dict "
            "alone, as torch.save(model.state_dict(), path) writes it"
        )
    if "allocate memory" in said:
        return MEMORY
    if "Unsupported operand" in said or "pickle protocol" in said:
        return (
            "torch's weights-only loader cannot read it: it reads what torch.save writes by "
            "itself, with pickle_protocol=2, and this was written otherwise, or is damaged"
        )
    cause = said.partition(UNPICKLER)[2] or said  # what stands before advises to do without
    first = next((line.strip() for line in cause.splitlines() if line.strip()), "it ends too soon")
    return f"torch's weights-only loader cannot read it: {first:.200}"


def _choice(key: str, state: Mapping[str, Any]) -> dict[str, Any]:
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    values = sum(value.numel() for value in tensors.values())
    return {"key": key, "tensors": len(tensors), "values": values, "first": next(iter(tensors))}


def _compare(tensors: Mapping[str, Tensor], again: Mapping[str, Tensor]) -> None:
    for name, value in tensors.items():
        one, other = again[name], value.resolve_conj().resolve_neg().contiguous()
        same = (one.dtype, one.shape) == (other.dtype, other.shape)
        if not same or not torch.equal(_bytes(one), _bytes(other)):
            raise CheckpointError(f"{name!r:.200} did not come back from the disk as it is in it")


def _bytes(value: Tensor) -> Tensor:
    return value.reshape(-1).view(torch.uint8)
