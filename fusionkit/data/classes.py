"""The class map: labels as they are written, turned to indices that every split shares."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from fusionkit.errors import ConfigError, DataError, did_you_mean, some_of

__all__ = ["Absent", "check_all_present", "check_classes", "class_names", "positions", "to_label"]

Absent = Literal["refuse", "warn", "allow"]


def check_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """Gives the classes that somebody wrote as a tuple of names.

    Raises:
        ConfigError: they are no names, or one stands there twice.
    """
    if isinstance(classes, str) or not all(isinstance(name, str) for name in classes):
        raise ConfigError(f"classes must be a list of names, got {classes!r:.200}")
    names = tuple(classes)
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ConfigError(f"the class {twice[0]!r} stands twice in classes")
    return names


def positions(classes: Sequence[str]) -> dict[str, int]:
    """Gives the index of each class by its name."""
    return {name: number for number, name in enumerate(classes)}


def class_names(labels: Iterable[str]) -> tuple[str, ...]:
    """Gives the names of the classes that occur, sorted; whole numbers by their value."""
    names = set(labels)
    if all(name.isdecimal() and name == str(int(name)) for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


def to_label(text: str, classes: Mapping[str, int], where: str) -> int:
    """Gives the index of a label, written as the class's name or, where no name is one, a number.

    Raises:
        DataError: no class is called so.
    """
    if text in classes:
        return classes[text]
    if text.isdecimal() and int(text) < len(classes) and not any(map(str.isdecimal, classes)):
        return int(text)
    shown = some_of(list(map(repr, classes)), 5)
    raise DataError(
        f"{where}: the label {text!r} is none of the {len(classes)} classes ({shown}), which are "
        f"those of the training split unless classes= says otherwise.{did_you_mean(text, classes)}"
    )


def check_all_present(
    labels: Iterable[int | None], classes: Sequence[str], where: str, absent: Absent
) -> None:
    """Reports classes of which a split has no sample.

    Raises:
        DataError: there are some, and ``absent`` is ``"refuse"``.
        ConfigError: ``absent`` is none of its values.
    """
    if absent not in ("refuse", "warn", "allow"):
        raise ConfigError(f"absent is 'refuse', 'warn' or 'allow', got {absent!r:.80}")
    there = set(labels)
    lacking = [name for number, name in enumerate(classes) if number not in there]
    if not lacking or absent == "allow":
        return
    shown = some_of(list(map(repr, lacking)))
    plural = "class" if len(lacking) == 1 else "classes"
    message = f"{where} has no sample of {len(lacking)} {plural}: {shown}"
    if absent == "refuse":
        raise DataError(f"{message}; add some, or leave the class out of classes=")
    warnings.warn(f"{message}; its metrics will be without it", UserWarning, stacklevel=4)
