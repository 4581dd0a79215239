"""``Sample`` and ``Samples``: what there is to learn from, with nothing decoded yet."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from torch import Tensor

__all__ = ["Encoded", "ListedSamples", "Sample", "Samples", "raw_bytes"]


@dataclass(frozen=True, slots=True)
class Encoded:
    """An image file's bytes, where it is no file of its own.

    Attributes:
        data: the bytes as they would stand in the file.
        name: how errors call it.
    """

    data: bytes
    name: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One row, nothing decoded.

    Attributes:
        id: a text that stays with the sample wherever it stands in the list.
        inputs: by input name a path, ``Encoded``, a PIL image, a tensor or array "c h w", a text,
            or a mapping of tensors.
        label: the index of its class; ``None`` where it is not known.
    """

    id: str
    inputs: Mapping[str, Any]
    label: int | None = None


class Samples(ABC):
    """Samples by position, each with an id that is independent of it.

    Attributes:
        classes: the names of the classes; a label is an index into them.
        input_names: the inputs that each sample has.
        ids: one for each sample, none twice.
        ignored: files that stood among the samples and are of no known kind.
    """

    classes: tuple[str, ...]
    input_names: tuple[str, ...]
    ids: Sequence[str]
    ignored: tuple[str, ...] = ()

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Sample: ...

    @property
    @abstractmethod
    def labels(self) -> tuple[int | None, ...]:
        """The label of each sample."""

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def content(self, index: int) -> str:
        """Gives a short text that changes when the sample's data do.

        For files it is their paths, sizes and times of change; for anything else a hash.
        """
        inputs = self[index].inputs
        return ";".join(f"{name}={_content(inputs[name])}" for name in sorted(inputs))


@final
class ListedSamples(Samples):
    """Samples that lie in memory as a list, which their files need not."""

    def __init__(
        self,
        samples: Sequence[Sample],
        classes: Sequence[str],
        input_names: Sequence[str],
        ignored: Sequence[str] = (),
    ) -> None:
        self._samples = tuple(samples)
        self.classes = tuple(classes)
        self.input_names = tuple(input_names)
        self.ids = tuple(sample.id for sample in self._samples)
        self.ignored = tuple(ignored)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        return self._samples[index]

    @property
    def labels(self) -> tuple[int | None, ...]:
        """The label of each sample."""
        return tuple(sample.label for sample in self._samples)


def _content(source: Any) -> str:
    if isinstance(source, Path):
        try:
            about = source.stat()
        except OSError:
            return f"{source}|missing"
        return f"{source}|{about.st_size}|{about.st_mtime_ns}"
    return hashlib.sha256(raw_bytes(source)).hexdigest()[:32]


def raw_bytes(source: Any) -> bytes:
    """Gives bytes that differ when the source, which is no path, does."""
    if isinstance(source, Encoded):
        return source.data
    if isinstance(source, str):
        return source.encode()
    if isinstance(source, Mapping):
        return b"".join(str(key).encode() + raw_bytes(source[key]) for key in sorted(source))
    if isinstance(source, Tensor):
        source = source.detach().cpu().numpy()
    about = f"{getattr(source, 'mode', '')}{getattr(source, 'dtype', '')}"
    about += f"{getattr(source, 'size', '')}{getattr(source, 'shape', '')}"
    if hasattr(source, "tobytes"):
        return about.encode() + bytes(source.tobytes())
    return repr(source).encode()
