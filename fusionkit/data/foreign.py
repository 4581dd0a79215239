"""``ForeignSamples``: the rows of a dataset that another library reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from fusionkit.data.sample import Sample, Samples
from fusionkit.errors import DataError, did_you_mean, some_of

__all__ = ["ForeignSamples", "Renumber", "as_label", "check_labels"]


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


@dataclass(frozen=True, slots=True)
class Renumber:
    """Turns the labels of a dataset that names its classes into those of other classes, by name.

    Attributes:
        own: the dataset's classes, which its labels are indices into.
        classes: those that are asked for.
    """

    own: tuple[str, ...]
    classes: tuple[str, ...]

    def __call__(self, label: int | None) -> int | None:
        """Gives the place of a label's class.

        Raises:
            DataError: the label is no class's index, or its class is not asked for.
        """
        check_labels([label], self.own)
        if label is None or self.own == self.classes:
            return label
        name = self.own[label]
        if name not in self.classes:
            shown = some_of(list(map(repr, self.classes)), 5)
            raise DataError(
                f"the label {label} is {name!r} in the dataset, which is none of the "
                f"{len(self.classes)} classes ({shown}).{did_you_mean(name, self.classes)} Labels "
                "are told by the names that the dataset gives its classes; leave classes= out to "
                "take these as they are"
            )
        return self.classes.index(name)
