"""``ForeignSamples``: the rows of a dataset that another library reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, final

from fusionkit.data.sample import Sample, Samples
from fusionkit.errors import DataError

__all__ = ["ForeignSamples", "as_label", "check_labels"]


@final
class ForeignSamples(Samples):
    """The rows of a dataset that another library reads, one by one.

    Args:
        length: how many there are.
        read: gives inputs and label of one.
        classes: the names of the classes.
        input_names: the inputs that each has.
        ids: of the samples; ``None`` for their positions.
        labels: all of them; ``None`` where each has to be read.
    """

    def __init__(
        self,
        length: int,
        read: Callable[[int], tuple[Mapping[str, Any], int | None]],
        *,
        classes: Sequence[str],
        input_names: Sequence[str],
        ids: Sequence[str] | None,
        labels: Sequence[int | None] | None,
    ) -> None:
        if not length:
            raise DataError("the dataset is empty")
        self._length = length
        self._read = read
        self.classes = tuple(classes)
        self.input_names = tuple(input_names)
        self.ids = tuple(map(str, range(length))) if ids is None else tuple(map(str, ids))
        if len(self.ids) != length or len(set(self.ids)) != length:
            raise DataError(f"ids must be {length} different texts, one for each sample")
        self._labels = None if labels is None else tuple(labels)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Sample:
        if not -self._length <= index < self._length:
            raise IndexError(index)
        inputs, label = self._read(index % self._length)
        return Sample(self.ids[index], inputs, label)

    @property
    def labels(self) -> tuple[int | None, ...]:
        """The label of each sample; where the dataset has no list of them, each is read once."""
        if self._labels is None:
            self._labels = tuple(self._read(index)[1] for index in range(self._length))
        return self._labels


def as_label(value: Any) -> int | None:
    """Gives a label as the index of a class; ``None`` for none.

    Raises:
        DataError: it is no whole number.
    """
    if value is None:
        return None
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int):
        raise DataError(f"a label is the index of a class, a whole number; got {value!r:.80}")
    return value


def check_labels(labels: Iterable[int | None], classes: Sequence[str]) -> None:
    """Refuses a label that is no class's index.

    Raises:
        DataError: names it.
    """
    for label in labels:
        if label is not None and not 0 <= label < len(classes):
            raise DataError(f"the label {label} is no class: there are {len(classes)}, from 0")
