"""``PreparedDataset``: samples decoded once, varied once, and prepared for each branch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch.utils.data import Dataset, get_worker_info

from fusionkit.data.augment import Augment
from fusionkit.data.batch import Prepared
from fusionkit.data.decoding import MAX_PIXELS
from fusionkit.data.prepare import Broken, Prepare, skips
from fusionkit.data.sample import Sample, Samples
from fusionkit.data.sampler import Repeat
from fusionkit.data.shared import shared_zeros
from fusionkit.errors import ConfigError, DataError
from fusionkit.numbers import is_number

__all__ = ["PreparedDataset"]

MOST_WORKERS = 256


class PreparedDataset(Dataset[Prepared]):
    """Samples as a model's branches take them, but for mean and std (``Normalise``).

    Each input is decoded once, whatever the number of branches that read it, and resized once for
    all branches that resize alike. The epoch, and which samples are broken, is known to all
    workers, those that outlive an epoch too.

    Args:
        samples: what there is.
        model: a ``FusedModel``, or a mapping of ``Preparation`` or ``Preprocessing`` by branch.
        augment: how samples are varied; ``None`` for evaluation, which varies nothing.
        seed: of the run.
        broken: ``"stop"`` raises at the first sample that cannot be read; ``"skip"`` leaves such
            samples out and names them in ``Batch.broken`` and ``broken_samples``.
        most_broken: with ``"skip"``, the share of samples that may be broken before it stops; one
            always may.
        max_pixels: of an image; larger ones count as broken.
        exact: whether an image is resized to PIL's own pixels, bit for bit. ``False`` takes a
            quarter of the time for it, and some values are one or two of 255 apart.
        encoders: by input name, what turns its text into a tensor or a mapping of tensors "n"; by
            default ``Backbone.encode`` of the branch that reads it.

    Raises:
        ConfigError: a branch reads an input that the samples do not have, or an argument is out
            of its range.
    """

    def __init__(
        self,
        samples: Samples,
        model: Any,
        *,
        augment: Augment | None = None,
        seed: int = 0,
        broken: Broken = "stop",
        most_broken: float = 0.01,
        max_pixels: int = MAX_PIXELS,
        exact: bool = True,
        encoders: Mapping[str, Callable[[str], Any]] | None = None,
    ) -> None:
        self._skip = skips(broken)
        if not is_number(most_broken) or not 0 <= most_broken <= 1:
            raise ConfigError(f"most_broken is a share in [0, 1], got {most_broken!r:.80}")
        self.samples = samples
        self.prepare = Prepare(
            model,
            augment=augment,
            seed=seed,
            max_pixels=max_pixels,
            exact=exact,
            encoders=encoders or {},
        )
        self.prepare.check_inputs(samples.input_names)
        self._most_broken = max(1, int(most_broken * len(samples)))
        # In memory that is shared with workers, however they are started.
        self._epoch = shared_zeros(1, torch.int64)
        self._at = shared_zeros(MOST_WORKERS, torch.int64).fill_(-1)
        self._is_broken = shared_zeros(len(samples), torch.bool)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Prepared:
        """Gives one sample by branch, or why it is broken.

        Raises:
            DataError: it cannot be read, and ``broken`` is ``"stop"``, or too many cannot.
        """
        counted = not isinstance(index, Repeat)
        index = int(index)
        worker = get_worker_info()
        place = 0 if worker is None else worker.id % MOST_WORKERS
        self._at[place] = index
        try:
            sample = self._read(index)
            inputs = self.prepare(sample, int(self._epoch))
        except DataError as error:
            return self._broken(index, error, counted)
        finally:
            self._at[place] = -1  # a worker that is killed or stuck does not come here
        return Prepared(index, sample.id, inputs, sample.label, counted=counted)

    def only(self, branches: Collection[str]) -> PreparedDataset:
        """Gives the same samples for some branches alone.

        What only the others read is not decoded. The epoch, and which samples are broken, is
        known to both.
        """
        narrow = copy.copy(self)
        narrow.prepare = self.prepare.only(branches)
        return narrow

    @property
    def epoch(self) -> int:
        """The epoch that samples are varied for."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch, counted from 0; workers that are there already know it too.

        Call it before the loader is iterated: workers are ahead of the run.
        """
        self._epoch.fill_(epoch)

    @property
    def broken_samples(self) -> tuple[str, ...]:
        """The ids of the samples that were left out so far, by all workers."""
        return tuple(self.samples.ids[index] for index in self._is_broken.nonzero().flatten())

    def in_flight(self) -> dict[int, str]:
        """Gives the id of the sample that each worker is at, by the worker's number."""
        return {
            worker: self.samples.ids[at] for worker, at in enumerate(self._at.tolist()) if at >= 0
        }

    def _read(self, index: int) -> Sample:
        try:
            return self.samples[index]
        except (DataError, IndexError):
            raise
        except Exception as error:  # of somebody else's dataset
            raise DataError(f"cannot be read: {type(error).__name__}: {error}") from error

    def _broken(self, index: int, error: DataError, counted: bool) -> Prepared:
        sample_id = self.samples.ids[index]
        cause = f"sample {sample_id!r}: {error}"
        if not self._skip:
            raise DataError(
                f"{cause}; mend it or take it away, or let such samples be left out (broken: skip)"
            ) from error
        self._is_broken[index] = True
        count = int(self._is_broken.sum())
        if count > self._most_broken:
            first = ", ".join(self.broken_samples[:3])
            raise DataError(
                f"{count} of {len(self)} samples cannot be read, more than the "
                f"{self._most_broken} that may be skipped: {first}, ...; the last: {cause}"
            ) from error
        return Prepared(index, sample_id, {}, broken=cause, counted=counted)
