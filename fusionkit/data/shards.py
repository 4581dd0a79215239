"""``ShardedSamples``: tar files of samples, read one after another."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from fusionkit.data.classes import check_classes, positions, to_label
from fusionkit.data.sample import Encoded, Sample
from fusionkit.errors import ConfigError, DataError
from fusionkit.numbers import is_count

__all__ = ["ShardedSamples"]

IMAGES = ("jpg", "jpeg", "png", "webp", "tif", "tiff", "bmp", "ppm", "pgm")


class ShardedSamples:
    """Samples in the tar files of WebDataset, for what does not fit on one disk.

    Files of one name in a tar are one sample: ``0001.jpg`` and ``0001.cls`` are an image and its
    label. Each process and each of its workers reads shards of its own, so that no sample comes
    twice; their order, and that of the samples within a buffer, depends on seed and epoch.

    Attributes:
        shards: paths or addresses.
        classes: their names.
        input_names: of each sample.

    Args:
        shards: a path or address with braces (``"pets-{0000..0099}.tar"``) or ``*``, or a list.
        classes: their names in the order of the labels.
        inputs: by input name its suffixes in the tar, the first that is there counting; a list of
            names stands for suffixes of these names. By default the input ``image``, of any of the
            usual suffixes.
        label: the suffix of the label, a class's name or index as text; ``None`` for none.
        shuffle: how many samples are held to draw from; 0 keeps the order.
        seed: of the run.

    Raises:
        ConfigError: an argument is of another kind, or the library is not installed.
        DataError: a shard is not there.
    """

    def __init__(
        self,
        shards: str | PathLike[str] | Sequence[str | PathLike[str]],
        classes: Sequence[str] = (),
        *,
        inputs: Mapping[str, Sequence[str]] | Sequence[str] | None = None,
        label: str | None = "cls",
        shuffle: int = 0,
        seed: int = 0,
    ) -> None:
        self.shards = _expand([shards] if isinstance(shards, (str, PathLike)) else shards)
        self.classes = check_classes(classes)
        if inputs is None:
            inputs = {"image": IMAGES}
        elif not isinstance(inputs, Mapping):
            inputs = {name: (name, *(f"{name}.{suffix}" for suffix in IMAGES)) for name in inputs}
        self._suffixes = {
            name: (each,) if isinstance(each, str) else tuple(each) for name, each in inputs.items()
        }
        self.input_names = tuple(self._suffixes)
        if not is_count(shuffle, 0):
            raise ConfigError(f"shuffle is a number of samples from 0, got {shuffle!r:.80}")
        self._label, self._shuffle, self._seed = label, shuffle, seed
        self._numbers = positions(self.classes)

    def read(self, epoch: int = 0, part: int = 0, parts: int = 1) -> Iterator[Sample]:
        """Gives the samples of every ``parts``-th shard, from the one numbered ``part``.

        Raises:
            ConfigError: there are fewer shards than parts.
            DataError: a shard cannot be read, or a sample lacks an input or its label.
        """
        if parts > len(self.shards):
            raise ConfigError(
                f"{len(self.shards)} shards cannot be shared by {parts} workers (of all "
                "processes together); take fewer workers, or make more shards"
            )
        shards = self.shards_of(epoch, part, parts)
        samples = (sample for shard in shards for sample in self._read(shard))
        if self._shuffle:
            return _mix(samples, self._shuffle, _dice(self._seed, epoch, f"{part} of {parts}"))
        return samples

    def shards_of(self, epoch: int = 0, part: int = 0, parts: int = 1) -> list[str]:
        """Gives the shards of one of ``parts``, in the order in which an epoch reads them."""
        shards = list(self.shards)
        if self._shuffle:
            _dice(self._seed, epoch, "shards").shuffle(shards)
        return shards[part::parts]

    def _read(self, shard: str) -> Iterator[Sample]:
        try:
            from webdataset.gopen import gopen
            from webdataset.tariterators import group_by_keys, tar_file_expander
        except ImportError:
            raise ConfigError(
                "shards are read by webdataset, which is not installed: pip install webdataset"
            ) from None
        try:
            with gopen(shard) if "://" in shard else open(shard, "rb") as stream:
                for row in group_by_keys(tar_file_expander([{"url": shard, "stream": stream}])):
                    yield self._sample(shard, row)
        except DataError:
            raise
        except Exception as error:  # tarfile's own, and of what opens addresses
            cause = error.args[0] if error.args else ""
            raise DataError(
                f"cannot read the shard {shard}: {type(error).__name__}: {cause}"
            ) from error

    def _sample(self, shard: str, row: Mapping[str, Any]) -> Sample:
        key = f"{Path(shard).name}/{row['__key__']}"
        values: dict[str, Any] = {}
        for name, suffixes in self._suffixes.items():
            suffix = next((each for each in suffixes if each in row), None)
            if suffix is None:
                there = ", ".join(each for each in row if not each.startswith("__")) or "nothing"
                raise DataError(
                    f"{key} has no input {name!r}, a file .{suffixes[0]}; it has {there}"
                )
            where = f"{key}.{suffix}"
            values[name] = (
                row[suffix].decode() if suffix in ("txt", "text") else Encoded(row[suffix], where)
            )
        if self._label is None:
            return Sample(key, values)
        if self._label not in row:
            raise DataError(f"{key} has no label, a file .{self._label}")
        text = row[self._label].decode().strip()
        return Sample(key, values, to_label(text, self._numbers, key))


def _expand(shards: Sequence[str | PathLike[str]]) -> tuple[str, ...]:
    from glob import glob

    found: list[str] = []
    for each in [fspath(shard) for shard in shards]:
        if each.startswith("pipe:"):
            raise ConfigError(f"{each!r:.120}: a shard is a file or an address, not a command")
        names = _braces(each)
        for name in names:
            if "://" in name:
                found.append(name)
            elif any(letter in name for letter in "*?["):
                found += sorted(glob(name))
            elif Path(name).is_file():
                found.append(name)
            else:
                raise DataError(f"there is no shard {name}")
    if not found:
        given = ", ".join(fspath(shard) for shard in shards) or "(none given)"
        raise DataError(f"there are no shards {given}")
    return tuple(found)


def _braces(text: str) -> list[str]:
    if "{" not in text:
        return [text]
    try:
        from braceexpand import braceexpand  # comes with webdataset
    except ImportError:
        raise ConfigError(
            "shards are read by webdataset, which is not installed: pip install webdataset"
        ) from None
    return list(braceexpand(text))


def _dice(seed: int, epoch: int, what: str) -> random.Random:
    digest = hashlib.blake2b(f"{seed}\0{epoch}\0{what}".encode(), digest_size=16).digest()
    return random.Random(int.from_bytes(digest, "big"))  # noqa: S311


def _mix(samples: Iterator[Sample], size: int, dice: random.Random) -> Iterator[Sample]:
    held: list[Sample] = []
    for sample in samples:
        held.append(sample)
        if len(held) >= size:
            place = dice.randrange(len(held))
            held[place], held[-1] = held[-1], held[place]
            yield held.pop()
    dice.shuffle(held)
    yield from held
