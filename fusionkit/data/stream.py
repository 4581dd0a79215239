"""``PreparedStream``: the samples of shards, prepared for each branch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from fusionkit.data.augment import Augment
from fusionkit.data.batch import Prepared
from fusionkit.data.decoding import MAX_PIXELS
from fusionkit.data.prepare import Broken, Prepare, skips
from fusionkit.data.shards import ShardedSamples
from fusionkit.data.shared import shared_zeros
from fusionkit.errors import ConfigError, DataError
from fusionkit.numbers import is_count

__all__ = ["PreparedStream"]


class PreparedStream(IterableDataset[Prepared]):
    """Samples of shards as a model's branches take them, but for mean and std (``Normalise``).

    Each worker of each process reads shards of its own. ``Prepared.index`` counts what one worker
    gave, and tells nothing of a sample; its id does.

    Args:
        samples: what there is.
        model: a ``FusedModel``, or a mapping of ``Preparation`` or ``Preprocessing`` by branch.
        augment: how samples are varied; ``None`` for evaluation, which varies nothing.
        seed: of the run.
        broken: ``"stop"`` or ``"skip"``, as for ``PreparedDataset``.
        most_broken: with ``"skip"``, how many samples of one worker and epoch may be broken.
        max_pixels: of an image.
        exact: whether an image is resized to PIL's own pixels, bit for bit. ``False`` takes a
            quarter of the time for it, and some values are one or two of 255 apart.
        encoders: by input name, what turns its text into tensors; by default ``Backbone.encode``.
        length: how many samples all workers of all processes give in an epoch, together and equally
            many each, reading their shards again or leaving some out as it comes; ``None`` for
            all that there are, which may be another number in each process. Training in several
            processes needs it.
        rank: of this process.
        world: the number of processes.
        drop_last: whether each worker leaves out what does not fill a batch.
    """

    def __init__(
        self,
        samples: ShardedSamples,
        model: Any,
        *,
        augment: Augment | None = None,
        seed: int = 0,
        broken: Broken = "stop",
        most_broken: int = 100,
        max_pixels: int = MAX_PIXELS,
        exact: bool = True,
        encoders: Mapping[str, Callable[[str], Any]] | None = None,
        length: int | None = None,
        rank: int = 0,
        world: int = 1,
        drop_last: bool = False,
    ) -> None:
        self._skip, self._most_broken = skips(broken), most_broken
        if length is not None and not is_count(length):
            raise ConfigError(f"length must be at least 1, got {length!r:.80}")
        if not is_count(world) or not is_count(rank, 0) or rank >= world:
            raise ConfigError(f"rank {rank!r} is none of {world!r} processes, counted from 0")
        self.samples = samples
        self.drop_last = drop_last
        self.world = world
        self.prepare = Prepare(
            model,
            augment=augment,
            seed=seed,
            max_pixels=max_pixels,
            exact=exact,
            encoders=encoders or {},
        )
        self.prepare.check_inputs(samples.input_names)
        self._length, self._rank = length, rank
        self._epoch = shared_zeros(1, torch.int64)

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch, counted from 0, before the loader is iterated."""
        self._epoch.fill_(epoch)

    def __iter__(self) -> Iterator[Prepared]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker is not None else (0, 1)
        parts = self.world * workers
        part = self._rank * workers + number
        epoch = int(self._epoch)
        wanted = None if self._length is None else -(-self._length // parts)
        broken = 0
        for index, sample in enumerate(self._samples(epoch, part, parts, wanted)):
            try:
                yield Prepared(index, sample.id, self.prepare(sample, epoch), sample.label)
            except DataError as error:
                broken += 1
                cause = f"sample {sample.id!r}: {error}"
                if not self._skip:
                    raise DataError(cause) from error
                if broken > self._most_broken:
                    raise DataError(
                        f"{broken} samples cannot be read, more than the {self._most_broken} that "
                        f"may be skipped; the last: {cause}"
                    ) from error
                yield Prepared(index, sample.id, {}, broken=cause)

    def _samples(self, epoch: int, part: int, parts: int, wanted: int | None) -> Iterator[Any]:
        if wanted is None:
            yield from self.samples.read(epoch, part, parts)
            return
        given = 0
        for again in count():
            before = given
            for sample in self.samples.read(epoch + again, part, parts):
                if given == wanted:
                    return
                given += 1
                yield sample
            if given == before:
                raise DataError(f"the shards {self.samples.shards[part::parts][:3]} hold no sample")
