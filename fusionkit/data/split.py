"""A split to validate, cut from samples that have none."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import final

from fusionkit.data.sample import Sample, Samples
from fusionkit.errors import ConfigError, DataError
from fusionkit.numbers import is_number

__all__ = ["ChosenSamples", "split_samples"]


@final
class ChosenSamples(Samples):
    """Some samples of others, in a given order."""

    def __init__(self, samples: Samples, indices: Sequence[int]) -> None:
        self._samples = samples
        self._indices = tuple(indices)
        self.classes = samples.classes
        self.input_names = samples.input_names
        self.ignored = samples.ignored
        self.ids = tuple(samples.ids[index] for index in self._indices)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Sample:
        return self._samples[self._indices[index]]

    @property
    def labels(self) -> tuple[int | None, ...]:
        """The label of each sample."""
        labels = self._samples.labels
        return tuple(labels[index] for index in self._indices)


def split_samples(
    samples: Samples, share: float = 0.2, seed: int = 0
) -> tuple[ChosenSamples, ChosenSamples]:
    """Gives samples to train on and, of each class, a share to validate with.

    Which sample goes where depends on its id and the seed, not on its place in the list. A class
    of two samples or more is in both; a class of one is only trained on.

    Raises:
        ConfigError: the share is not between 0 and 1.
        DataError: nothing would be left to validate with.
    """
    if not is_number(share) or not 0 < share < 1:
        raise ConfigError(f"the share to validate with is between 0 and 1, got {share!r:.80}")
    by_label: dict[int | None, list[int]] = {}
    for index, label in enumerate(samples.labels):
        by_label.setdefault(label, []).append(index)
    held_out: set[int] = set()
    for indices in by_label.values():
        ordered = sorted(indices, key=lambda index: _rank(samples.ids[index], seed))
        count = min(max(1, round(share * len(ordered))), len(ordered) - 1)
        held_out.update(ordered[:count])
    if not held_out:
        raise DataError(
            f"{len(samples)} samples cannot be split: no class has two; give a split to validate "
            "with, or more samples"
        )
    train = [index for index in range(len(samples)) if index not in held_out]
    return ChosenSamples(samples, train), ChosenSamples(samples, sorted(held_out))


def _rank(sample_id: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}\0{sample_id}".encode(), digest_size=8).digest()
