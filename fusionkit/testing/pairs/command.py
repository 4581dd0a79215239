"""What ``python -m fusionkit.testing pairs`` does, without its command line."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from fusionkit.catalog import Catalog
from fusionkit.errors import ConfigError
from fusionkit.testing.pairs.draw import Pair, draw_pairs
from fusionkit.testing.sweep.pool import work_through
from fusionkit.testing.sweep.row import Row
from fusionkit.testing.sweep.run import Limits
from fusionkit.testing.sweep.worker import End, Worker, start

__all__ = ["join_pairs", "small_enough"]


def small_enough(backbones: list[str], known: Mapping[str, Row], millions: float) -> list[str]:
    """Gives the backbones of at most so many million parameters, as an earlier sweep counted.

    Raises:
        ConfigError: no sweep has counted any so small.
    """
    small = [
        name for name in backbones if name in known and 0 < known[name].parameters <= millions * 1e6
    ]
    if not small:
        raise ConfigError(
            f"no sweep has counted at most {millions:g} million parameters in any of these models; "
            "sweep them first, or leave --largest out"
        )
    return small


def join_pairs(
    backbones: list[str],
    count: int,
    seed: int,
    *,
    limits: Limits,
    jobs: int,
    say: Callable[[str], object],
    catalog: Catalog,
    heads: list[str] | None = None,
) -> bool:
    """Joins pairs drawn at random, each in a process of its own, and tells whether all went well.

    Each is composed under a random head and random policies, trained for a step, saved, loaded,
    and has to give the same bits.

    Args:
        backbones: the names to draw from.
        count: how many pairs.
        seed: of the draw.
        limits: what one may use.
        jobs: how many processes at a time.
        say: is called with each line for the reader.
        catalog: where names are found.
        heads: the heads to draw from; by default fusionkit's own.
    """
    pairs = draw_pairs(backbones, heads or catalog.heads("heads"), count, seed)
    for provider in sorted({name.partition("/")[0] for name in backbones}):
        first = next(name for name in backbones if name.startswith(f"{provider}/"))
        catalog.backbone(first)  # imports what it needs, once for all processes
    say(f"{len(pairs)} pairs of {len(backbones)} models")
    bad: list[Pair] = []
    done = 0

    def ended(pair: Pair, end: End) -> None:
        nonlocal done
        done += 1
        wrong = [end.how] if end.answer is None else end.answer["wrong"]
        if wrong:
            bad.append(pair)
        say(f"[{done:>4}/{len(pairs)}] {'FAILED' if wrong else 'joined'} {pair}")
        for each in wrong:
            say(f"        {each}")

    work_through(pairs, partial(_begin, catalog=catalog, limits=limits), ended, jobs)
    say(f"{done - len(bad)} joined, {len(bad)} failed")
    return not bad


def _begin(pair: Pair, *, catalog: Catalog, limits: Limits) -> Worker:
    def task(tell: Callable[[str], None]) -> dict[str, Any]:
        import warnings

        import torch

        from fusionkit.testing.pairs.unite import unite

        torch.set_num_threads(1)
        warnings.simplefilter("ignore")
        with tempfile.TemporaryDirectory() as folder:
            return {"wrong": unite(pair, catalog, Path(folder), tell)}

    return start(task, memory_mib=limits.memory_gib * 1024, seconds=limits.minutes * 60)
