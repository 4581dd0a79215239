"""The loaders of a run, from its samples and its model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from fusionkit.cache import FeatureCache, FeatureLoader
from fusionkit.cache.batch import FeatureBatch
from fusionkit.data import Augment, EpochSampler, PreparedDataset, Samples, ShardedSamples
from fusionkit.model.fused import FusedModel
from fusionkit.runs.settings import Job
from fusionkit.runs.streams import StreamLoader, stream_batches, stream_length

__all__ = ["EpochLoader", "Passes", "count_batches", "train_loader", "train_sampler", "val_loader"]

MOST_BROKEN = 0.01
"""The share of samples that may be broken before a run stops."""
AUTOCAST = {"bf16": torch.bfloat16, "16": torch.float16}


class Passes:
    """The batches of every pass, and no more: Lightning expects torch's own of what has a sampler.

    A batch of which no sample can be read comes without samples, so that there are always as many.

    Attributes:
        loader: what gives the batches.
    """

    def __init__(self, loader: FeatureLoader | StreamLoader) -> None:
        self.loader = loader

    def __len__(self) -> int:
        """Gives the number of batches of a pass."""
        return len(self.loader)

    def __iter__(self) -> Iterator[FeatureBatch]:
        return self.loader.read()


class EpochLoader:
    """The batches of the epoch that the model is at, for a trainer that goes through them.

    It keeps its place, so that a run can go on in the middle of an epoch. A batch of which no
    sample can be read comes without samples, so that places stay.

    Attributes:
        loader: what gives the batches.
        epoch: which one is given now, or was last.
        done: how many of its batches were given.
    """

    def __init__(self, loader: FeatureLoader | StreamLoader) -> None:
        self.loader = loader
        self.epoch, self.done = 0, 0
        self._start = 0

    def __len__(self) -> int:
        """Gives the number of batches of a whole epoch."""
        return len(self.loader)

    def __iter__(self) -> Iterator[FeatureBatch]:
        self.epoch, self.done, self._start = self.loader.model.epoch, self._start, 0
        self.loader.set_epoch(self.epoch, self.done)
        for batch in self.loader.read():
            self.done += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Gives its place."""
        return {"epoch": self.epoch, "done": self.done}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Goes on at a place that ``state_dict`` gave."""
        self._start = state_dict["done"] % len(self)


def train_loader(
    job: Job,
    model: FusedModel,
    samples: Samples | ShardedSamples,
    *,
    cache: FeatureCache | None,
    place: tuple[int, int] = (0, 1),
    on_fill: Callable[[int, int], None] | None = None,
) -> FeatureLoader | StreamLoader:
    """Gives the loader of samples to learn from, shuffled and varied as the job says.

    Args:
        job: says how.
        model: what they are prepared for.
        samples: all of them.
        cache: of frozen branches' features; ``None`` for none.
        place: the rank of this process, and how many there are.
        on_fill: is told how many samples of how many are computed for the cache.
    """
    augment = job.data.variation
    if isinstance(samples, ShardedSamples):
        varied = augment if augment.is_random else None
        return StreamLoader(job, model, samples, varied, learns=True, place=place)
    dataset = _dataset(job, model, samples, augment if augment.is_random else None)
    sampler = train_sampler(job, samples, place)
    views = job.training.cache_views if augment.is_random and cache is not None else 0
    return _loader(job, model, dataset, sampler, cache=cache, views=views, on_fill=on_fill)


def count_batches(job: Job, samples: Samples | ShardedSamples, world: int = 1) -> int:
    """Gives how many batches each of ``world`` processes has in an epoch of training."""
    if isinstance(samples, ShardedSamples):
        return stream_batches(job, stream_length(job, samples), world)
    return len(train_sampler(job, samples, (0, world)))


def train_sampler(job: Job, samples: Samples, place: tuple[int, int] = (0, 1)) -> EpochSampler:
    """Gives the order of samples to learn from; its length is the number of batches of an epoch."""
    size = job.training.batch_size
    settings: dict[str, Any] = {"seed": job.training.seed, "rank": place[0], "world": place[1]}
    sampler = EpochSampler(len(samples), size, **settings)
    if sampler.smallest_batch == 1 and len(sampler) > 1:
        # Batch norms cannot learn from one sample; another is left out in each epoch.
        sampler = EpochSampler(len(samples), size, drop_last=True, **settings)
    return sampler


def val_loader(
    job: Job,
    model: FusedModel,
    samples: Samples | ShardedSamples,
    *,
    cache: FeatureCache | None,
    place: tuple[int, int] = (0, 1),
    most_broken: float = MOST_BROKEN,
) -> FeatureLoader | StreamLoader:
    """Gives the loader of samples in their order, as they are.

    Args:
        job: says how.
        model: what they are prepared for.
        samples: all of them.
        cache: of frozen branches' features; ``None`` for none.
        place: the rank of this process, and how many there are.
        most_broken: the share of samples that may be broken, where the job skips such.
    """
    if isinstance(samples, ShardedSamples):
        every = most_broken == 1
        return StreamLoader(
            job, model, samples, None, learns=False, place=place, all_may_break=every
        )
    sampler = EpochSampler(
        len(samples), job.training.batch_size, shuffle=False, rank=place[0], world=place[1]
    )
    dataset = _dataset(job, model, samples, None, most_broken)
    return _loader(job, model, dataset, sampler, cache=cache)


def _dataset(
    job: Job,
    model: FusedModel,
    samples: Samples,
    augment: Augment | None,
    most_broken: float = MOST_BROKEN,
) -> PreparedDataset:
    return PreparedDataset(
        samples,
        model,
        augment=augment,
        seed=job.training.seed,
        broken=job.data.broken,
        most_broken=most_broken,
        exact=job.data.exact,
    )


def _loader(
    job: Job, model: FusedModel, dataset: PreparedDataset, sampler: EpochSampler, **more: Any
) -> FeatureLoader:
    autocast = AUTOCAST.get(job.training.precision.removesuffix("-mixed"))
    return FeatureLoader(
        model,
        dataset,
        sampler,
        workers=job.data.workers,
        channels_last=job.training.channels_last,
        pin_memory=torch.cuda.is_available(),
        autocast=autocast if job.training.precision.endswith("-mixed") else None,
        **more,
    )
