"""``LoadReport``: what became of every name of a file and of a module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from typing import Any

from fusionkit.errors import LONGEST_NAME, some_of
from fusionkit.tensors.prefix import explain_prefix

__all__ = ["LoadReport"]

ALIKE = 0.8
"""Layers' names are alike anyway, so that only a much nearer one is worth telling."""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What became of every name on both sides; ``print`` it.

    Attributes:
        source: the file, index or name on the hub.
        loaded: names of the module that were filled.
        missing: names of the module that the file does not have, and none that was allowed.
        unexpected: names of the file that the module does not have, and none that was allowed.
        mismatched: (name, shape in the file, shape in the module).
        ignored: names of the file that were left out as was allowed.
        kept: names of the module that the file lacks as was allowed; they kept their values.
        converted: (name, type in the file, type in the module).
        renamed: what took the place of the beginning of names in the file.
        resized: (name, shape in the file, shape in the module) of what was interpolated.
        adapted: (name, shape in the file, shape in the module) of first layers that were adapted
            to another number of input channels.
    """

    source: str = ""
    loaded: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()
    ignored: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    converted: tuple[tuple[str, str, str], ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    resized: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()
    adapted: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()

    def problems(self) -> str:
        """Says what does not fit, or gives an empty string."""
        said = []
        if self.mismatched:
            name, theirs, ours = self.mismatched[0]
            said.append(
                f"{len(self.mismatched)} of another shape ({name}: {theirs} in the file, "
                f"{ours} in the model)"
            )
        if self.missing:
            said.append(f"{len(self.missing)} missing in the file ({_some(self.missing)})")
        if self.unexpected:
            said.append(
                f"{len(self.unexpected)} that the model does not have ({_some(self.unexpected)})"
            )
        if not said:
            return ""
        hint = explain_prefix(self.unexpected, self.missing)
        if self.unexpected and not hint:
            hint = _nearest(self.unexpected[0], self.missing)
        return "; ".join(said) + (f".{hint}" if hint else "")

    def exceptions(self) -> str:
        """Says in a few words what was not loaded as it stood, or gives an empty string."""
        said = [f"{old!r} taken as {new!r}" for old, new in self.renamed.items()]
        for kind in ("adapted", "resized", "converted", "ignored", "kept"):
            if count := len(getattr(self, kind)):
                said.append(f"{count} {kind}")
        return ", ".join(said)

    def to_data(self) -> dict[str, Any]:
        """Gives the same as JSON-able data."""
        return asdict(self)

    def __str__(self) -> str:
        """Gives a table: how many names of each kind, and the first of them."""
        rows = [(kind, _told(getattr(self, kind))) for kind in KINDS]
        lines = [self.source] if self.source else []
        for kind, told in rows:
            if told or kind == "loaded":
                lines.append(f"  {kind:<10} {len(getattr(self, kind)):>6}  {_first(kind, told)}")
        return "\n".join(line.rstrip() for line in lines)


KINDS = (
    "loaded",
    "renamed",
    "adapted",
    "resized",
    "converted",
    "ignored",
    "kept",
    "mismatched",
    "missing",
    "unexpected",
)


def _told(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [f"{old or '(nothing)'} -> {new or '(nothing)'}" for old, new in value.items()]
    return [
        each if isinstance(each, str) else f"{each[0]} {each[1]} -> {each[2]}" for each in value
    ]


def _first(kind: str, told: Sequence[str]) -> str:
    if kind == "loaded":
        return ""
    return some_of(told)


def _nearest(theirs: str, ours: Sequence[str]) -> str:
    """Gives a sentence, without its full stop, on the one name that can hardly be another."""
    if len(theirs) > LONGEST_NAME:
        return ""
    near = get_close_matches(theirs, ours, n=1, cutoff=ALIKE)
    if not near:
        return ""
    return (
        f" What is nearest to {theirs!r} in the model is {near[0]!r}, if it is the same layer: a "
        "network built with other options has other ones"
    )


def _some(names: Sequence[str]) -> str:
    return some_of([name if len(name) <= 100 else name[:100] + "..." for name in names])
