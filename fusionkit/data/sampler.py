"""``EpochSampler``: which samples make which batch, in each epoch and in each process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from fusionkit.errors import ConfigError, DataError, ResumeError
from fusionkit.numbers import is_count

__all__ = ["EpochSampler", "Repeat"]


class Repeat(int):
    """The index of a sample that only fills up a batch, so that all processes have equally many."""


class EpochSampler:
    """Gives batches of indices; takes the place of a ``DataLoader``'s ``batch_sampler``.

    The order depends on seed and epoch alone. All processes have the same number of batches: where
    the samples do not suffice for that, a few are given again. In training they count as any; in
    evaluation (``shuffle=False``) each of them is a ``Repeat``, so that ``Batch.counted`` is
    ``False`` for it and every sample counts once.

    Attributes:
        epoch: the last that was set.
        start: the first batch that is given in this epoch, where a run goes on in its middle.

    Args:
        length: the number of samples.
        batch_size: of each process.
        seed: of the run.
        shuffle: whether the order is drawn anew for each epoch.
        drop_last: whether the samples that do not fill a batch are left out.
        rank: of this process.
        world: the number of processes.

    Raises:
        ConfigError: an argument is out of its range, or there would be no batch.
        DataError: there are no samples.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("length", length, 0),
            ("world", world, 1),
            ("rank", rank, 0),
        ):
            if not is_count(value, least):
                raise ConfigError(f"{name} must be a whole number from {least}, got {value!r:.80}")
        if rank >= world:
            raise ConfigError(f"rank {rank} is none of {world} processes, counted from 0")
        if not length:
            raise DataError("there are no samples")
        self.length, self.batch_size = length, batch_size
        self.seed, self.shuffle, self.drop_last = seed, shuffle, drop_last
        self.rank, self.world = rank, world
        self.epoch = 0
        self.start = 0
        # With drop_last nothing is given twice: what does not go into the processes is left too.
        self._share = length // world if drop_last else -(-length // world)
        self._batches = self._share // batch_size if drop_last else -(-self._share // batch_size)
        if not self._batches:
            raise ConfigError(
                f"{length} samples in {world} process{'es' if world > 1 else ''} make no batch of "
                f"{batch_size} with drop_last; give a batch size of at most "
                f"{max(1, self._share)}, or drop_last=False"
            )

    def __len__(self) -> int:
        """Gives the number of batches of a whole epoch, wherever it starts."""
        return self._batches

    def __iter__(self) -> Iterator[list[int]]:
        indices = self._own()
        for number in range(self.start, self._batches):
            yield indices[number * self.batch_size : (number + 1) * self.batch_size]

    @property
    def smallest_batch(self) -> int:
        """The number of samples of the last batch, which batch norms need more than one of."""
        return (
            self._share - (self._batches - 1) * self.batch_size
            if not self.drop_last
            else (self.batch_size)
        )

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Sets the epoch, counted from 0, and the first of its batches that is given."""
        if not is_count(epoch, 0):
            raise ConfigError(f"epoch must be a whole number from 0, got {epoch!r:.80}")
        if not is_count(start, 0) or start > self._batches:
            raise ConfigError(
                f"start must be one of the epoch's {self._batches} batches, got {start!r:.80}"
            )
        self.epoch, self.start = epoch, start

    def state_dict(self, done: int = 0) -> dict[str, Any]:
        """Gives the position in plain data.

        Args:
            done: how many batches of this epoch the run has used. The sampler cannot know it:
                workers are ahead of the run.
        """
        return {**self._made_of(), "epoch": self.epoch, "start": done}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where a run stopped, in the same order.

        Raises:
            ResumeError: names what has changed, which would make the order another one.
        """
        changed = [
            f"{name} was {state.get(name)!r} and is {value!r}"
            for name, value in self._made_of().items()
            if state.get(name) != value
        ]
        if changed:
            raise ResumeError(f"the order of samples cannot go on: {', '.join(changed)}")
        self.set_epoch(state["epoch"], state["start"])

    def _made_of(self) -> dict[str, Any]:
        names = ("length", "batch_size", "seed", "shuffle", "drop_last", "world")
        return {name: getattr(self, name) for name in names}

    def _own(self) -> list[int]:
        order = list(range(self.length))
        if self.shuffle:
            digest = hashlib.blake2b(f"{self.seed}\0{self.epoch}".encode(), digest_size=8).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
            order = torch.randperm(self.length, generator=generator).tolist()
        wanted = self._share * self.world
        repeats = wanted - len(order)
        if repeats > 0:
            again = (order * -(-repeats // len(order)))[:repeats]
            order += again if self.shuffle else [Repeat(index) for index in again]
        return order[:wanted][self.rank :: self.world]
