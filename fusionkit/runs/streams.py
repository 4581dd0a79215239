"""Shards as the samples of a run: read in a stream, in their own order, without a cache."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import torch

from fusionkit.cache import FeatureBatch
from fusionkit.cache.batch import joined, unreadable
from fusionkit.cache.compute import device_of
from fusionkit.data import Augment, Batch, Normalise, PreparedStream, ShardedSamples, build_loader
from fusionkit.errors import CacheError, ConfigError, DataError
from fusionkit.model.fused import FusedModel
from fusionkit.runs.settings import DataSettings, Job
from fusionkit.runs.shard_counts import count_batches_of, count_samples

__all__ = [
    "StreamLoader",
    "is_sharded",
    "open_shards",
    "shard_splits",
    "stream_batches",
    "stream_length",
]

CLASSES = "classes.txt"
MOST_BROKEN = 100
"""How many samples of one worker may be broken before a run stops."""
SHUFFLED = 1000
"""How many samples are held to draw from."""


def is_sharded(source: str) -> bool:
    """Tells whether a source is tar files, or a folder of splits that holds them."""
    if source.endswith(".tar"):
        return True
    folder = Path(source)
    return folder.is_dir() and (any(folder.glob("*.tar")) or any(folder.glob("*/*.tar")))


def shard_splits(source: str) -> tuple[str, ...]:
    """Gives the names of the folders that hold shards."""
    return tuple(sorted({path.parent.name for path in Path(source).glob("*/*.tar")}))


def open_shards(
    data: DataSettings,
    inputs: tuple[str, ...],
    split: str | None,
    classes: tuple[str, ...] | None,
) -> ShardedSamples:
    """Opens the shards of one split: ``DIR/SPLIT/*.tar``, ``DIR/*.tar``, or a pattern of paths.

    The names of the classes stand in ``DIR/classes.txt``, a line each, in the order of the labels.

    Raises:
        ConfigError: nobody says what the classes are.
        DataError: there are no such shards.
    """
    assert data.source is not None
    folder = Path(data.source)
    pattern = data.source
    if folder.is_dir():
        pattern = str(folder / split / "*.tar" if split else folder / "*.tar")
    named = (folder if folder.is_dir() else folder.parent) / CLASSES
    if classes is None:
        if not named.is_file():
            raise ConfigError(
                f"shards do not say what their classes are: write them into {named}, a line each, "
                "in the order of the labels"
            )
        lines = named.read_text(encoding="utf-8").splitlines()
        classes = tuple(line.strip() for line in lines if line.strip())
    shuffle = SHUFFLED if split == data.train else 0
    several = None if inputs == ("image",) else inputs
    return ShardedSamples(pattern, classes, inputs=several, shuffle=shuffle)


def stream_length(job: Job, samples: ShardedSamples) -> int:
    """Gives how many samples an epoch of training has: what the job says, or all that there are."""
    return job.data.length or count_samples(samples)


def stream_batches(job: Job, length: int, world: int) -> int:
    """Gives how many batches each process has in an epoch of training; its workers as many each."""
    each, size = _each_worker(job, length, world), job.training.batch_size
    whole = _drops_last(job, length, world)
    return max(1, job.data.workers) * (each // size if whole else -(-each // size))


def _drops_last(job: Job, length: int, world: int) -> bool:
    """Tells whether a batch that is not full is left out: if there are full ones."""
    return _each_worker(job, length, world) >= job.training.batch_size


def _each_worker(job: Job, length: int, world: int) -> int:
    """Gives how many samples each worker of each process gives."""
    return -(-length // (max(1, job.data.workers) * world))


class StreamLoader:
    """The batches of shards, on the model's device, in the same form as those of ``FeatureLoader``.

    Attributes:
        model: what they are prepared for.

    Args:
        job: says how.
        model: a fused model.
        samples: the shards.
        augment: how they are varied; ``None`` for not at all.
        learns: whether they are learned from: then each worker and process gives as many samples.
            Otherwise each worker gives all of its shards, and a process that has fewer batches than
            another gives its last again, not to be counted.
        place: the rank of this process, and how many there are.
        all_may_break: whether any number of samples may be broken, where the job skips such.

    Raises:
        CacheError: features are to be cached; a stream has no samples to look up.
    """

    def __init__(
        self,
        job: Job,
        model: FusedModel,
        samples: ShardedSamples,
        augment: Augment | None,
        *,
        learns: bool,
        place: tuple[int, int] = (0, 1),
        all_may_break: bool = False,
    ) -> None:
        if job.training.cache:
            raise CacheError(
                "features of shards cannot be cached: they are read as a stream, in which no "
                "sample can be looked up; unpack them into a folder, or write cache: false"
            )
        self.model = model
        self._normalise = Normalise(model, channels_last=job.training.channels_last)
        size = job.training.batch_size
        self._samples, self._size, self._place = samples, size, place
        self._workers = max(1, job.data.workers)
        length = stream_length(job, samples) if learns else None
        self._batches = None if length is None else stream_batches(job, length, place[1])
        stream = PreparedStream(
            samples,
            model,
            augment=augment,
            seed=job.training.seed,
            broken=job.data.broken,
            most_broken=sys.maxsize if all_may_break else MOST_BROKEN,
            exact=job.data.exact,
            length=length,
            rank=place[0],
            world=place[1],
            drop_last=length is not None and _drops_last(job, length, place[1]),
        )
        self._loader = build_loader(stream, size, workers=job.data.workers)
        self._start, self._epoch = 0, 0
        self._counted: tuple[int, int] | None = None

    def __len__(self) -> int:
        """Gives the number of batches of a whole epoch.

        Raises:
            DataError: a shard cannot be read, or lies elsewhere.
        """
        if self._batches is not None:
            return self._batches
        if self._counted is None or self._counted[0] != self._epoch:
            each = [self._own_batches(rank) for rank in range(self._place[1])]
            if min(each) < max(each) and not min(each):
                raise DataError("the shards of a process hold no sample; take fewer processes")
            self._counted = self._epoch, max(each)
        return self._counted[1]

    def _own_batches(self, rank: int) -> int:
        """Gives how many batches a process makes of its own shards, where none learns."""
        return count_batches_of(
            self._samples,
            self._size,
            epoch=self._epoch,
            rank=rank,
            world=self._place[1],
            workers=self._workers,
        )

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Sets the epoch, and the first batch that is given; those before are read and dropped."""
        self._loader.set_epoch(epoch)
        self._start, self._epoch = start, epoch

    def __iter__(self) -> Iterator[FeatureBatch]:
        """Gives the batches of the epoch that have samples."""
        return (batch for batch in self.read() if len(batch))

    def read(self) -> Iterator[FeatureBatch]:
        """Gives every batch of the epoch; one of which nothing can be read has no samples."""
        # Those of learning come out even by themselves.
        even = len(self) if self._batches is None and self._place[1] > 1 else 0
        done, last = self._start, None
        for last in self._own():
            done += 1
            yield last
        while done < even and last is not None:
            done += 1
            yield replace(last, counted=torch.zeros_like(last.counted), broken=())

    def _own(self) -> Iterator[FeatureBatch]:
        """Gives the batches of this process's shards."""
        device = device_of(self.model)
        start, self._start = self._start, 0
        for batch in islice(self._loader.read(), start, None):
            if not isinstance(batch, Batch):
                yield unreadable(batch)
                continue
            moved = batch.to(device, non_blocking=True)
            yield joined(moved, self._normalise(moved.inputs))
