"""Shards as the samples of a run: read in a stream, in their own order, without a cache."""

from __future__ import annotations

import sys
import tarfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fusionkit.cache import FeatureBatch
from fusionkit.cache.batch import unreadable
from fusionkit.data import Augment, Batch, Normalise, PreparedStream, ShardedSamples, build_loader
from fusionkit.errors import CacheError, ConfigError, DataError
from fusionkit.model.fused import FusedModel
from fusionkit.runs.settings import DataSettings, Job

__all__ = [
    "StreamLoader",
    "count_samples",
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


def count_samples(samples: ShardedSamples) -> int:
    """Gives how many samples there are, from the names in the tar files alone.

    Raises:
        DataError: a shard cannot be read, or lies elsewhere, so that only ``data.length`` tells.
    """
    count = 0
    for shard in samples.shards:
        if "://" in shard:
            raise DataError(
                f"how many samples {shard} holds is known only after reading it: say how many an "
                "epoch has, as data.length"
            )
        try:
            with tarfile.open(shard) as tar:
                count += len({_key(name) for name in tar.getnames()})
        except (OSError, tarfile.TarError) as error:
            raise DataError(f"cannot read the shard {shard}: {error}") from error
    return count


def _key(name: str) -> str:
    """Gives what the files of one sample share: the path up to the first dot of the name."""
    folder, _, file = name.rpartition("/")
    return f"{folder}/{file.partition('.')[0]}"


def stream_length(job: Job, samples: ShardedSamples, *, learns: bool) -> int:
    """Gives how many samples an epoch has: what the job says of training, or all that there are."""
    return (job.data.length if learns else None) or count_samples(samples)


def stream_batches(job: Job, length: int, world: int, *, learns: bool) -> int:
    """Gives how many batches each process has in an epoch, where its workers have equally many."""
    workers, size = max(1, job.data.workers), job.training.batch_size
    each = -(-length // (workers * world))
    whole = _drops_last(job, length, world, learns=learns)
    return workers * (each // size if whole else -(-each // size))


def _drops_last(job: Job, length: int, world: int, *, learns: bool) -> bool:
    """Tells whether a batch that is not full is left out: in training, if there are full ones."""
    each = -(-length // (max(1, job.data.workers) * world))
    return learns and each >= job.training.batch_size


class StreamLoader:
    """The batches of shards, on the model's device, in the same form as those of ``FeatureLoader``.

    Attributes:
        model: what they are prepared for.

    Args:
        job: says how.
        model: a fused model.
        samples: the shards.
        augment: how they are varied; ``None`` for not at all.
        learns: whether they are learned from: then each worker and process gives as many.
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
        self._channels_last = job.training.channels_last
        self._normalise = Normalise(model)
        size = job.training.batch_size
        length = stream_length(job, samples, learns=learns)
        self._batches = stream_batches(job, length, place[1], learns=learns)
        stream = PreparedStream(
            samples,
            model,
            augment=augment,
            seed=job.training.seed,
            broken=job.data.broken,
            most_broken=sys.maxsize if all_may_break else MOST_BROKEN,
            exact=job.data.exact,
            length=length if learns else None,
            rank=place[0],
            world=place[1],
            drop_last=_drops_last(job, length, place[1], learns=learns),
        )
        self._loader = build_loader(stream, size, workers=job.data.workers)
        self._start = 0

    def __len__(self) -> int:
        """Gives the number of batches of a whole epoch."""
        return self._batches

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Sets the epoch, and the first batch that is given; those before are read and dropped."""
        self._loader.set_epoch(epoch)
        self._start = start

    def __iter__(self) -> Iterator[FeatureBatch]:
        """Gives the batches of the epoch that have samples."""
        return (batch for batch in self.read() if len(batch))

    def read(self) -> Iterator[FeatureBatch]:
        """Gives every batch of the epoch; one of which nothing can be read has no samples."""
        device = next(self.model.parameters()).device
        start, self._start = self._start, 0
        for batch in islice(self._loader.read(), start, None):
            if not isinstance(batch, Batch):
                yield unreadable(batch)
                continue
            moved = batch.to(device, non_blocking=True)
            inputs = self._normalise(moved.inputs)
            if self._channels_last:
                inputs = {name: _channels_last(value) for name, value in inputs.items()}
            yield FeatureBatch(
                inputs=inputs,
                features={},
                labels=moved.labels,
                ids=moved.ids,
                indices=moved.indices,
                counted=moved.counted,
                broken=moved.broken,
            )


def _channels_last(value: Any) -> Any:
    if isinstance(value, Tensor) and value.ndim == 4:
        return value.contiguous(memory_format=torch.channels_last)
    return value
