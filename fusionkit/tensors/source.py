"""``TensorSource``: one safetensors file, or a set of shards with its index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from fusionkit.errors import CheckpointError, did_you_mean
from fusionkit.tensors.finite import KnownFinite
from fusionkit.tensors.header import Header, TensorEntry, read_header
from fusionkit.tensors.index import read_index
from fusionkit.tensors.read import read_tensors

__all__ = ["INDEX", "TensorSource", "open_source"]

SUFFIX = ".safetensors"
INDEX = ".safetensors.index.json"
USUAL = ("model", "diffusion_pytorch_model", "open_clip_model", "pytorch_model")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


@dataclass(frozen=True, slots=True)
class TensorSource:
    """Named tensors on a disk, of which so far only the headers were read.

    Attributes:
        path: of the file or the index.
        files: the header of each file that holds tensors, by its path.
        metadata: what the headers say besides, text by name.
    """

    path: Path
    files: Mapping[Path, Header]

    @property
    def entries(self) -> dict[str, TensorEntry]:
        """Type, shape and place of each tensor by name."""
        return {
            name: entry for header in self.files.values() for name, entry in header.tensors.items()
        }

    @property
    def metadata(self) -> dict[str, str]:
        """What the headers say besides, text by name."""
        return {
            key: text for header in self.files.values() for key, text in header.metadata.items()
        }

    def read(
        self,
        sha256: str | None = None,
        checksums: Mapping[str, str] | None = None,
        finite: KnownFinite | None = None,
        *,
        maps: bool = False,
    ) -> dict[str, Tensor]:
        """Gives every tensor by name, each in memory of its own unless it is mapped.

        Args:
            sha256: the checksum of the file, in hexadecimal digits; of a single file only.
            checksums: those of several files, by their names.
            finite: takes note of the tensors that hold finite values only.
            maps: maps the files instead, as ``read_tensors`` says.

        Raises:
            CheckpointError: a file has changed since its header was read, is damaged, or has
                another checksum; or a checksum was given for a set of shards.
        """
        if sha256 is not None and len(self.files) > 1:
            raise CheckpointError(
                f"{self.path}: a checksum is of one file, and this is an index of "
                f"{len(self.files)}; leave sha256 out"
            )
        tensors: dict[str, Tensor] = {}
        for path, header in self.files.items():
            checksum = sha256 or (checksums or {}).get(path.name)
            found = read_tensors(path, sha256=checksum, finite=finite, known=header, maps=maps)
            if found.keys() != header.tensors.keys():
                raise CheckpointError(f"{path} changed while it was read; read it again")
            tensors.update(found)
        return tensors


def open_source(path: str | Path) -> TensorSource:
    """Gives what a path leads to: a file, an index of shards, or a folder with one of them.

    Only headers are read. Nothing outside of the folder of an index is looked at.

    Raises:
        CheckpointError: there is nothing, or nothing that is safetensors, or a folder holds more
            than one set of tensors; or an index and its shards disagree.
    """
    try:
        return _open(Path(path))
    except OSError as error:  # such as a name that is too long for the system
        raise CheckpointError(f"cannot read {str(path)[:200]}: {error.strerror}") from error


def _open(path: Path) -> TensorSource:
    if path.is_dir():
        path = _find_in(path)
    if path.name.lower().endswith(INDEX):
        return TensorSource(path, read_index(path))
    if not path.exists():
        beside = [each.name for each in path.parent.glob(f"*{SUFFIX}*")]
        raise CheckpointError(f"there is no file {path}.{did_you_mean(path.name, beside)}")
    return TensorSource(path, {path: read_header(path)})


def _find_in(folder: Path) -> Path:
    """Gives the one file or index in a folder that holds its tensors."""
    names = sorted(each.name for each in folder.iterdir())
    indices = [name for name in names if name.endswith(INDEX)]
    sharded = set()
    for index in indices:
        sharded |= {each.name for each in read_index(folder / index)}
    single = [name for name in names if name.endswith(SUFFIX) and name not in sharded]
    usual = [name for stem in USUAL for name in (stem + SUFFIX, stem + INDEX)]
    found = [name for name in usual if name in (*single, *indices)] or [*single, *indices]
    if len(found) == 1:
        return folder / found[0]
    if found:
        raise CheckpointError(
            f"{folder} holds more than one set of tensors: {', '.join(found[:5])}; give the path "
            "of the one that is meant"
        )
    pickles = [name for name in names if name.lower().endswith(PICKLES)]
    if pickles:
        raise CheckpointError(
            f"{folder} holds no safetensors file, only {pickles[0]}, which may run code when it is "
            f"opened; `fusionkit checkpoint convert {folder / pickles[0]}` makes one of it"
        )
    raise CheckpointError(f"{folder} holds no safetensors file")
