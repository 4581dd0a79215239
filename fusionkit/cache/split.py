"""``CachedSplit``: the rows of one split for as long as their branches are frozen."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fusionkit.cache.branch import BranchCache, CacheFullError
from fusionkit.cache.chunk import DamagedChunkError
from fusionkit.cache.compute import Compute, describe_preparation, device_of
from fusionkit.cache.fill import drop_drifted, fill
from fusionkit.cache.rows import row_key
from fusionkit.cache.store import FeatureCache
from fusionkit.cache.table import Table
from fusionkit.data.sampler import EpochSampler
from fusionkit.errors import CacheError, DataError
from fusionkit.features import Features
from fusionkit.processes import tell_all

__all__ = ["CachedSplit"]

ATTEMPTS = 3
"""How often damaged files are computed again before it is said that the disk is broken."""


@dataclass(slots=True)
class Opened:
    """What is open of one branch.

    Attributes:
        key: what its features depended on when it was opened.
        cache: its rows.
        tables: by view a table, and which of its rows each sample has.
    """

    key: dict[str, object]
    cache: BranchCache
    tables: dict[int | None, tuple[Table, Tensor]]


class CachedSplit:
    """Opens, fills and reads the rows of a split.

    Attributes:
        refused: by branch, why it is not cached though it is frozen: there was no room.
        broken: the cause by id of samples that cannot be read.

    Args:
        compute: runs branches on the split's samples.
        cache: where rows are kept.
        sampler: whose processes share the work of filling.
        on_fill: is told how many samples of how many are computed.
    """

    def __init__(
        self,
        compute: Compute,
        cache: FeatureCache,
        sampler: EpochSampler,
        on_fill: Callable[[int, int], None] | None = None,
    ) -> None:
        self.refused: dict[str, str] = {}
        self.broken: dict[str, str] = {}
        self._compute = compute
        self._cache = cache
        self._sampler = sampler
        self._on_fill = on_fill
        self._opened: dict[str, Opened] = {}
        self._keys: dict[int | None, list[bytes]] = {}
        self._stamps: list[str] | None = None
        self._view: int | None = None

    def open(self, branches: Sequence[str], view: int | None) -> None:
        """Makes the rows of some branches ready; others are let go.

        The first time, rows that are there are compared with what is computed now, and those that
        are missing are computed: each process its share, and when all are done what is still
        missing. Later it is only looked at whether the weights are the same.

        Args:
            branches: each frozen whole.
            view: of the augmentation; ``None`` where there is none.

        Raises:
            CacheError: the features of a branch cannot be cached, with the cause.
        """
        for name in set(self._opened) - set(branches):
            self._close(name)
        self._view = view
        fresh = [name for name in branches if self._is_new(name)]
        due = [name for name in branches if view not in self._tables(name)]
        if not due:
            return
        keys = self._keys_of(view)
        # Filling draws nothing, but a branch's own code might: the run's draws stay what they are.
        with torch.random.fork_rng(devices=[]):
            drop_drifted(self._compute, self._caches(fresh), keys)
            share = range(self._sampler.rank, len(keys), self._sampler.world)
            self._fill(self._caches(due), keys, share)
            self._meet()
            for name in self._caches(due):
                self._build(name)
            self._meet()

    def take(self, branch: str, positions: Tensor) -> Features:
        """Gives the features of some samples of the view that is open.

        Args:
            branch: one that is open.
            positions: "b", of samples that can be read.

        Raises:
            CacheError: files were damaged meanwhile, and there is no room to write them again.
        """
        for _ in range(ATTEMPTS):
            table, rows = self._opened[branch].tables[self._view]
            try:
                return table.take(rows[positions])
            except DamagedChunkError as error:
                self._opened[branch].cache.drop(error)
                self._build(branch)
            if branch in self.refused:
                raise CacheError(
                    f"branch {branch!r}: cached features were lost while they were in use, and "
                    f"cannot be written again: {self.refused[branch]}"
                )
        raise self._worn(branch)

    def close(self) -> None:
        """Lets go of all folders."""
        for name in list(self._opened):
            self._close(name)

    def _close(self, name: str) -> None:
        self._opened.pop(name).cache.close()

    def _tables(self, name: str) -> dict[int | None, tuple[Table, Tensor]]:
        return self._opened[name].tables if name in self._opened else {}

    def _caches(self, names: Sequence[str]) -> dict[str, BranchCache]:
        """Gives those that are open, and so were not refused."""
        return {name: self._opened[name].cache for name in names if name in self._opened}

    def _is_new(self, name: str) -> bool:
        """Opens a branch unless it is open for the weights that it has now."""
        about: dict[str, Any] = {
            "preparation": describe_preparation(self._compute.dataset, name),
            "autocast": self._compute.autocast,
            "device": device_of(self._compute.model),
        }
        key = self._cache.key(self._compute.model, name, **about)
        if name in self._opened:
            if self._opened[name].key == key:
                return False
            self._close(name)
        try:
            cache = self._cache.open_branch(self._compute.model, name, **about)
        except CacheFullError as error:
            self._refuse(name, str(error))
            return False
        self._opened[name] = Opened(key, cache, {})
        return True

    def _keys_of(self, view: int | None) -> list[bytes]:
        if view not in self._keys:
            samples, prepare = self._compute.dataset.samples, self._compute.dataset.prepare
            if self._stamps is None:
                self._stamps = [samples.content(index) for index in range(len(samples))]
            label = ""
            if view is not None and prepare.augment is not None:
                made_of = json.dumps(prepare.augment.to_data(), sort_keys=True)
                label = f"{made_of} seed {prepare.seed} view {view}"
            pairs = zip(samples.ids, self._stamps, strict=True)
            self._keys[view] = [row_key(name, stamp, label) for name, stamp in pairs]
        return self._keys[view]

    def _fill(
        self, caches: Mapping[str, BranchCache], keys: Sequence[bytes], positions: Sequence[int]
    ) -> None:
        ids = self._compute.dataset.samples.ids
        if self.broken:
            positions = [each for each in positions if ids[each] not in self.broken]
        full, broken = fill(
            self._compute,
            caches,
            keys,
            positions,
            batch_size=self._sampler.batch_size,
            check_fits=self._cache.check_fits,
            on_progress=self._on_fill,
        )
        self.broken.update(broken)
        for name, error in full.items():
            self._refuse(name, str(error))

    def _meet(self) -> None:
        """Waits until all processes are here; what one has no room for, none keeps."""
        if self._sampler.world == 1:
            return
        for refused in tell_all(self.refused):
            for name in refused.keys() - self.refused.keys():
                self._refuse(name, refused[name])
        for opened in self._opened.values():
            opened.cache.refresh()

    def _build(self, name: str) -> None:
        """Makes the table of a branch, after computing what is still missing of it."""
        keys = self._keys_of(self._view)
        opened = self._opened[name]
        opened.tables.pop(self._view, None)
        ids = self._compute.dataset.samples.ids
        for _ in range(ATTEMPTS):
            self._fill({name: opened.cache}, keys, range(len(keys)))
            if name in self.refused:
                return
            good = [place for place in range(len(keys)) if ids[place] not in self.broken]
            if not good:
                raise DataError(f"none of the {len(keys)} samples can be read")
            rows = torch.full((len(keys),), -1)
            rows[good] = torch.arange(len(good))
            taken = sum(
                table.memory for each in self._opened.values() for table, _ in each.tables.values()
            )
            room = self._cache.max_memory - taken
            try:
                table = opened.cache.table([keys[place] for place in good], room)
            except DamagedChunkError as error:
                opened.cache.drop(error)
                continue
            opened.tables[self._view] = table, rows
            return
        raise self._worn(name)

    def _refuse(self, name: str, cause: str) -> None:
        warnings.warn(
            f"branch {name!r} goes on without the feature cache, so each epoch computes its "
            f"features: {cause}",
            stacklevel=2,
        )
        self.refused[name] = cause
        if name in self._opened:
            self._close(name)

    def _worn(self, name: str) -> CacheError:
        return CacheError(
            f"branch {name!r}: files in {self._opened[name].cache.folder} were damaged "
            f"{ATTEMPTS} times in a row after they were written; look at that disk, or name "
            "another folder with FeatureCache(folder)"
        )
