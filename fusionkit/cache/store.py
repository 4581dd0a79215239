"""``FeatureCache``: a folder of frozen branches' features, bounded in size."""

from __future__ import annotations

import json
from contextlib import suppress
from os import PathLike
from pathlib import Path

import torch

from fusionkit.cache.branch import BranchCache, CacheFullError
from fusionkit.cache.chunk import CHUNK, is_chunk
from fusionkit.cache.defaults import default_folder, memory_share
from fusionkit.cache.key import branch_key, digest_of
from fusionkit.cache.usage import last_use, remove_if_idle
from fusionkit.cache.weights import Weights
from fusionkit.checkpoint.folder import FULL
from fusionkit.checkpoint.leftovers import fresh_folder
from fusionkit.errors import CacheError, ConfigError
from fusionkit.model.fused import FusedModel
from fusionkit.numbers import is_count
from fusionkit.saved.texts import write_text

__all__ = ["FeatureCache", "open_cache"]

KEY_FILE = "key.json"
MAX_BYTES = 32 << 30
KEPT = (torch.float16, torch.bfloat16, torch.float32)


class FeatureCache:
    """Features of frozen branches on disk, shared by all runs and processes of a machine.

    There is a folder for each key: weights and buffers, architecture, what the head reads,
    preparation, precision, device and library versions. In it is a row for each sample, by its id,
    the stamp of its content, and the augmented view. Anything of it that changes is a miss, never
    a wrong row. ``key.json`` in each folder says what it belongs to.

    Attributes:
        folder: where it lies; by default ``default_folder()``.
        max_bytes: how large it may grow; what was used longest ago goes first, and what is in
            use never. ``None`` leaves the disk's size as the only bound.
        max_memory: how many bytes of rows a loader may hold in memory; what does not fit is read
            from disk row by row. By default a quarter of the machine's memory.
        dtype: what floating-point features are kept in: ``torch.float16`` and
            ``torch.bfloat16`` halve the size; ``None`` keeps what was computed.

    Raises:
        ConfigError: a setting is none of these.
    """

    def __init__(
        self,
        folder: str | PathLike[str] | None = None,
        *,
        max_bytes: int | None = MAX_BYTES,
        max_memory: int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        for name, value in (("max_bytes", max_bytes), ("max_memory", max_memory)):
            if value is not None and not is_count(value, least=0):
                raise ConfigError(f"FeatureCache: {name} is a number of bytes, got {value!r:.80}")
        if dtype is not None and dtype not in KEPT:
            raise ConfigError(
                "FeatureCache: dtype is torch.float16, torch.bfloat16, torch.float32 or None, "
                f"got {dtype!r:.80}"
            )
        self.folder = default_folder() if folder is None else Path(folder).absolute()
        self.max_bytes = max_bytes
        self.max_memory = memory_share() if max_memory is None else max_memory
        self.dtype = dtype
        self._weights = Weights()

    def open_branch(
        self,
        model: FusedModel,
        branch: str,
        *,
        preparation: str,
        autocast: torch.dtype | None = None,
        device: torch.device | None = None,
    ) -> BranchCache:
        """Gives the rows of a branch as it is now.

        Args:
            model: whose branch it is.
            branch: its name.
            preparation: how a sample becomes the branch's input, in words that change with it.
            autocast: the type that operations are cast to, if they are.
            device: on which the branch runs; by default where it lies.

        Raises:
            CacheError: the folder cannot be made, or the branch's weights cannot be read.
        """
        key = self.key(model, branch, preparation=preparation, autocast=autocast, device=device)
        folder = self.folder / digest_of(key)
        try:
            cache = BranchCache(branch, folder, dtype=self.dtype, make_room=self.make_room)
            _describe(folder, key)
        except OSError as error:
            full = FULL.get(error.errno or 0)
            raise (CacheFullError if full else CacheError)(
                f"cannot keep features in {self.folder}: {full or error}; name another folder "
                "with FeatureCache(folder), or write cache=False"
            ) from error
        return cache

    def key(
        self,
        model: FusedModel,
        branch: str,
        *,
        preparation: str,
        autocast: torch.dtype | None = None,
        device: torch.device | None = None,
    ) -> dict[str, object]:
        """Gives what the features of a branch depend on now; as for ``open_branch``."""
        if device is None:
            tensors = [*model.branches[branch].parameters(), *model.branches[branch].buffers()]
            device = tensors[0].device if tensors else torch.device("cpu")
        return branch_key(
            model,
            branch,
            preparation=preparation,
            weights=self._weights,
            autocast=autocast,
            device=device,
            dtype=self.dtype,
        )

    def size(self) -> int:
        """Gives how many bytes the features on disk take."""
        return sum(map(_size, self._folders()))

    def make_room(self, needed: int, keep: Path) -> None:
        """Removes folders that nobody uses, those used longest ago first, until so much fits.

        Args:
            needed: how many bytes will be written.
            keep: the folder that they belong to.

        Raises:
            CacheFullError: what is in use takes all the room.
        """
        if self.max_bytes is None:
            return
        sizes = {folder: _size(folder) for folder in self._folders()}
        total = sum(sizes.values()) + needed
        own = sizes.get(keep, 0) + needed
        idle = sorted((each for each in sizes if each != keep), key=last_use)
        while own <= self.max_bytes < total and idle:
            if remove_if_idle(oldest := idle.pop(0)):
                total -= sizes[oldest]
        if total > self.max_bytes:
            raise CacheFullError(
                f"the feature cache {self.folder} may take {self.max_bytes:,} bytes, and what is "
                f"in use would take {total:,}; allow more with FeatureCache(max_bytes=...), or "
                "keep half with dtype=torch.float16"
            )

    def check_fits(self, nbytes: int) -> None:
        """Refuses a branch that does not fit even if it were alone.

        Raises:
            CacheFullError: says how much it would take.
        """
        if self.max_bytes is not None and nbytes > self.max_bytes:
            raise CacheFullError(
                f"its features would take {nbytes:,} bytes, and the feature cache {self.folder} "
                f"may take {self.max_bytes:,}; allow more with FeatureCache(max_bytes=...), or "
                "keep half with dtype=torch.float16"
            )

    def _folders(self) -> list[Path]:
        try:
            return [
                each for each in self.folder.iterdir() if len(each.name) == 32 and each.is_dir()
            ]
        except FileNotFoundError:
            return []


def open_cache(cache: bool | str | PathLike[str] | FeatureCache | None) -> FeatureCache | None:
    """Gives the cache that an argument means; ``None`` for none.

    Args:
        cache: ``True`` for the default folder, a folder, or a cache; ``False`` or ``None``.

    Raises:
        ConfigError: it is none of these.
    """
    if cache is None or cache is False:
        return None
    if isinstance(cache, FeatureCache):
        return cache
    if cache is True or isinstance(cache, (str, PathLike)):
        return FeatureCache(None if cache is True else cache)
    raise ConfigError(f"cache is True, False, a folder or a FeatureCache, got {cache!r:.80}")


def _describe(folder: Path, key: dict[str, object]) -> None:
    """Writes down what a folder belongs to, for people."""
    path = folder / KEY_FILE
    if path.exists():
        return
    with fresh_folder(folder / CHUNK) as fresh:
        write_text(fresh / KEY_FILE, json.dumps(key, indent=2, sort_keys=True) + "\n")
        (fresh / KEY_FILE).replace(path)


def _size(folder: Path) -> int:
    total = 0
    with suppress(FileNotFoundError):  # removed by another process just now
        for path in folder.iterdir():
            if is_chunk(path):
                total += path.stat().st_size
    return total
