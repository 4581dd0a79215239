"""Computes rows that are missing, and compares some that are there with what is computed now."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fusionkit.cache.agreement import check_repeatable, disagreement, tolerance
from fusionkit.cache.batch import take_rows
from fusionkit.cache.branch import BranchCache, CacheFullError
from fusionkit.cache.chunk import DamagedChunkError
from fusionkit.cache.compute import Compute, device_of
from fusionkit.cache.rows import flatten, restore
from fusionkit.data.batch import Batch
from fusionkit.features import Features

__all__ = ["drop_drifted", "fill"]

COMPARED = 4
"""How many rows are computed again when a cache is opened."""


def fill(
    compute: Compute,
    caches: Mapping[str, BranchCache],
    keys: Sequence[bytes],
    positions: Sequence[int],
    *,
    batch_size: int,
    check_fits: Callable[[int], None],
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, CacheFullError], dict[str, str]]:
    """Computes what is missing of some samples, all branches from one decode of each image.

    Of the first batch it is looked at whether its features are the same each time and for a sample
    alone.

    Args:
        compute: runs branches.
        caches: by branch, where rows go.
        keys: of all samples.
        positions: of the samples that are looked after.
        batch_size: of the passes.
        check_fits: refuses so many bytes of one branch.
        on_progress: is told how many samples of how many are done.

    Returns:
        By branch why no more of it is kept, and the cause by id of samples that cannot be read.

    Raises:
        CacheError: the features of a branch are random, or depend on the batch.
    """
    missing = {
        name: set(positions).intersection(cache.missing(keys)) for name, cache in caches.items()
    }
    todo = sorted(set().union(*missing.values()))
    full: dict[str, CacheFullError] = {}
    broken: dict[str, str] = {}
    if not todo:
        return full, broken
    active = {name for name in caches if missing[name]}
    checked = False
    done = 0
    for batch in compute.read(active, todo, batch_size):
        if not isinstance(batch, Batch):
            broken.update(batch)
            continue
        broken.update(batch.broken)
        features = compute.run(active, _only(batch.inputs, active))
        if not checked:
            _check(compute, features, batch.inputs, caches)
            checked = True
        for name in sorted(active):
            try:
                rows = [
                    row
                    for row, position in enumerate(batch.indices.tolist())
                    if position in missing[name]
                ]
                if rows:
                    chosen = _take(features[name], rows)
                    _check_room(caches[name], chosen, len(rows), len(keys), check_fits)
                    caches[name].put([keys[int(batch.indices[row])] for row in rows], chosen)
            except CacheFullError as error:
                full[name] = error
        active -= full.keys()
        done += len(batch) + len(batch.broken)
        if on_progress is not None:
            on_progress(done, len(todo))
        if not active:
            break
    for name in sorted(active):
        try:
            caches[name].flush()
        except CacheFullError as error:
            full[name] = error
    return full, broken


def drop_drifted(
    compute: Compute, caches: Mapping[str, BranchCache], keys: Sequence[bytes]
) -> None:
    """Computes some rows again, and drops all of a branch, with a warning, if they do not agree.

    The key of a folder tells weights, preparation and versions apart. What it cannot see, such as a
    changed piece of code, shows here.

    Args:
        compute: runs branches.
        caches: by branch.
        keys: of all samples.
    """
    device = device_of(compute.model)
    for name, cache in caches.items():
        absent = set(cache.missing(keys))
        present = [position for position in range(len(keys)) if position not in absent]
        if not present:
            continue
        step = max(1, len(present) // COMPARED)
        chosen = present[::step][:COMPARED]
        (batch,) = compute.read([name], chosen, len(chosen), here=True)
        if not isinstance(batch, Batch):
            continue
        live = compute.run([name], batch.inputs)[name]
        wanted = [keys[position] for position in batch.indices.tolist()]
        try:
            kept = cache.table(wanted, 0).take(torch.arange(len(wanted)))
        except DamagedChunkError as error:
            cache.drop(error)
            continue
        apart = disagreement(kept, live)
        if apart > _bound(compute, live, cache, device):
            warnings.warn(
                f"feature cache of branch {name!r}: {len(chosen)} rows were computed again and "
                f"differ by {apart:.2g} of the largest value from what {cache.folder} holds, so "
                "something has changed that its key does not tell; its rows are removed and "
                "computed again",
                stacklevel=2,
            )
            cache.clear()


def _check(
    compute: Compute,
    features: Mapping[str, Features],
    inputs: dict[str, Any],
    caches: Mapping[str, BranchCache],
) -> None:
    """Refuses branches whose features are not a function of the sample alone."""
    count = max(1, min(COMPARED, len(next(iter(_tensors(features)))) // 2))
    few = take_rows(_only(inputs, features), range(count))
    computed = compute.run(features, few)
    device = device_of(compute.model)
    for name, value in features.items():
        check_repeatable(
            name,
            value,
            computed[name],
            lambda name=name: compute.run([name], _only(few, [name]))[name],  # type: ignore[misc]
            _bound(compute, value, caches[name], device),
        )


def _check_room(
    cache: BranchCache,
    features: Features,
    rows: int,
    total: int,
    check_fits: Callable[[int], None],
) -> None:
    """Refuses before anything is written what could not be kept for all samples."""
    if len(cache):
        return
    width = cache.dtype.itemsize if cache.dtype is not None else None
    size = sum(
        value.numel() * width if width and value.is_floating_point() else value.nbytes
        for value in flatten(features).values()
    )
    check_fits(size * total // rows)


def _bound(compute: Compute, features: Features, cache: BranchCache, device: torch.device) -> float:
    computed = [value.dtype for value in flatten(features).values()]
    return tolerance(device, *computed, compute.autocast, cache.dtype)


def _take(features: Features, rows: Sequence[int]) -> Features:
    flat = flatten(features)
    if all(len(value) == len(rows) for value in flat.values()):
        return features
    return restore({name: value[list(rows)] for name, value in flat.items()})


def _only(inputs: dict[str, Any], branches: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in inputs.items() if name in branches}


def _tensors(features: Mapping[str, Features]) -> Iterator[Tensor]:
    return (value for each in features.values() for value in flatten(each).values())
