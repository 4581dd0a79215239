"""``build_loader``: a ``DataLoader`` whose failures name the sample."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

from fusionkit.data.batch import Batch, Unreadable, collate_some, none_left
from fusionkit.data.prepared import PreparedDataset
from fusionkit.data.sampler import EpochSampler
from fusionkit.data.stream import PreparedStream
from fusionkit.errors import ConfigError, DataError
from fusionkit.numbers import is_count, is_number

__all__ = ["SampleLoader", "build_loader"]

TIMEOUT = 300.0
"""Seconds that a batch may take in a worker; torch's own default is to wait for ever."""

ENDS = ("exited unexpectedly", "killed by signal", "timed out")
"""What torch says of a worker that gives no more batches."""


class SampleLoader(DataLoader[Any]):
    """A ``DataLoader`` of ``Batch`` that says which file a worker stumbled over.

    A batch of which no sample can be read is passed over. Where several processes read, that is an
    error, since they would no longer have equally many.
    """

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        for batch in self.read():
            if isinstance(batch, Batch):
                yield batch

    def read(self) -> Iterator[Batch | Unreadable]:
        """Gives every batch, of one that has no readable sample what is known of its samples.

        Raises:
            DataError: a worker stumbled, or in one of several processes no sample can be read.
        """
        for batch in self._read():
            if not isinstance(batch, Batch) and self._processes > 1:
                raise none_left(batch, ", and processes need equally many batches")
            yield batch

    @property
    def _processes(self) -> int:
        """How many share the samples."""
        part = self.dataset if isinstance(self.dataset, PreparedStream) else self.batch_sampler
        return getattr(part, "world", 1)

    def _read(self) -> Iterator[Batch | Unreadable]:
        try:
            yield from super().__iter__()
        except DataError as error:
            raise DataError(_own_words(error)) from error
        except RuntimeError as error:
            if not self.num_workers or not _is_of_a_worker(str(error)):
                raise
            raise DataError(self._died(str(error))) from error

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Sets the epoch of order and augmentation, before it is iterated.

        Args:
            epoch: counted from 0.
            start: the first batch that is given.
        """
        for part in (self.batch_sampler, self.dataset):
            if isinstance(part, EpochSampler):
                part.set_epoch(epoch, start)
            elif isinstance(part, (PreparedDataset, PreparedStream)):
                part.set_epoch(epoch)

    def _died(self, cause: str) -> str:
        first = cause.splitlines()[0]
        in_flight = self.dataset.in_flight() if isinstance(self.dataset, PreparedDataset) else {}
        at = "; ".join(f"worker {number} at {name}" for number, name in in_flight.items())
        what = "a worker of the loader is stuck" if "timed out" in cause else "a worker ended"
        return (
            f"{what} ({first}); being read: {at or 'nothing'}. Look at these samples and at the "
            "memory there is, try workers=0 to see the cause, or give a longer timeout"
        )


def build_loader(
    dataset: PreparedDataset | PreparedStream | Any,
    sampler: EpochSampler | int,
    *,
    workers: int = 0,
    timeout: float | None = None,
    pin_memory: bool = False,
    prefetch: int = 2,
    persistent: bool = True,
    context: str | None = None,
) -> SampleLoader:
    """Gives a loader of ``Batch``.

    Args:
        dataset: what is loaded.
        sampler: of the dataset; of a ``PreparedStream``, the batch size.
        workers: processes that decode; 0 decodes in this one.
        timeout: seconds that a batch may take in a worker before it is an error; 300 if not given.
        pin_memory: whether batches are put where a CUDA device copies from at its full rate.
        prefetch: batches that each worker is ahead.
        persistent: whether workers live on from epoch to epoch.
        context: how workers are started: ``"fork"``, ``"spawn"`` or ``"forkserver"``.

    Raises:
        ConfigError: an argument is out of its range.
    """
    if not is_count(workers, 0):
        raise ConfigError(f"workers must be a whole number from 0, got {workers!r:.80}")
    if timeout is not None and (not is_number(timeout) or timeout < 0):
        raise ConfigError(f"timeout must be a number of seconds, got {timeout!r:.80}")
    several: dict[str, Any] = {}
    if workers:
        several = {
            "timeout": TIMEOUT if timeout is None else timeout,
            "prefetch_factor": prefetch,
            "persistent_workers": persistent,
            "multiprocessing_context": context,
        }
    if isinstance(dataset, PreparedStream):
        if not is_count(sampler):
            raise ConfigError(
                f"a stream is loaded in batches of a size, at least 1; got {sampler!r:.80}"
            )
        parts = dataset.world * max(1, workers)
        if parts > len(dataset.samples.shards):
            raise ConfigError(
                f"{len(dataset.samples.shards)} shards cannot be shared by {workers} workers in "
                f"each of {dataset.world} processes; take fewer workers, or make more shards"
            )
        batches: dict[str, Any] = {"batch_size": sampler, "drop_last": dataset.drop_last}
    elif isinstance(sampler, int):
        raise ConfigError(
            f"samples are loaded through an EpochSampler, which says their order; got {sampler!r}"
        )
    else:
        batches = {"batch_sampler": sampler}
    return SampleLoader(
        dataset,
        **batches,
        collate_fn=collate_some,
        num_workers=workers,
        pin_memory=pin_memory,
        **several,
    )


def _own_words(error: DataError) -> str:
    """Gives an error's own message, without the traceback that a worker wraps it into."""
    return str(error).rsplit(f"{DataError.__module__}.{DataError.__name__}: ", 1)[-1].strip()


def _is_of_a_worker(message: str) -> bool:
    return "DataLoader" in message and any(end in message for end in ENDS)
