"""The text in which descriptions of many models are kept, with what they share written once.

The first line says what it is. A line that begins with ``=`` is a part of descriptions, as JSON
after a digest of it. Any other is a way to build a model, class and digest of the model, and the
digests of two parts, its stages and all else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from fusionkit import Level, Stage
from fusionkit.providers.timm.description import Description

__all__ = ["Known", "Way", "look_up", "write_shelf"]

TITLE = "What running timm's models shows, written by tests/providers/write_descriptions.py"
TUPLES = ("level_indices", "first_layers", "unadaptable", "dropped_keys")


class Way(NamedTuple):
    """A way in which timm builds a model.

    Attributes:
        name: the architecture.
        size: height and width in pixels for which the model is meant.
        keeps_classifier: whether it has its stock classifier.
        has_classifier: whether its weights come with one.
    """

    name: str
    size: tuple[int, int]
    keeps_classifier: bool
    has_classifier: bool

    def __str__(self) -> str:
        height, width = self.size
        kept = "keeps" if self.keeps_classifier else "drops" if self.has_classifier else "lacks"
        return f"{self.name} {height}x{width} {kept}"


@dataclass(frozen=True, slots=True)
class Known:
    """A description, and the model that it is of.

    Attributes:
        model: what ``identify`` says of it.
        description: what was found, but for what is read off the model at once.
    """

    model: str
    description: Description


def write_shelf(known: Mapping[Way, Known]) -> str:
    """Gives the text; what can be read off a model at once is left out."""
    parts: dict[str, str] = {}
    lines = []
    for way, found in known.items():
        digests = [_put(part, parts) for part in _split(found.description)]
        lines.append(" ".join([str(way), found.model, *digests]))
    shared = (f"={digest} {text}" for digest, text in sorted(parts.items()))
    return "".join(f"{line}\n" for line in (TITLE, *shared, *sorted(lines)))


def look_up(text: str, way: Way) -> Known | None:
    """Gives what is known of the model that is built in a way."""
    line = _rest_of_line(text, f"{way} ")
    if line is None:
        return None
    model, *digests = line.rsplit(" ", 2)
    stages, others = (json.loads(_rest_of_line(text, f"={each} ") or "") for each in digests)
    return Known(model, _join(stages, others))


def _rest_of_line(text: str, beginning: str) -> str | None:
    """Gives what follows a line's beginning, of any line but the first."""
    start = text.find(f"\n{beginning}") + 1
    return text[start + len(beginning) : text.index("\n", start)] if start else None


def _put(part: object, parts: dict[str, str]) -> str:
    text = json.dumps(part, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    assert parts.setdefault(digest, text) == text
    return digest


def _split(description: Description) -> tuple[object, object]:
    """Gives the stages, and all else that is not as it mostly is, as plain data."""
    stages = [
        [stage.name, *(block[0] if len(block) == 1 else block for block in stage.blocks)]
        for stage in description.stages
    ]
    others = asdict(replace(description, stages=(), no_weight_decay=frozenset()))
    others["levels"] = [[level.channels, level.stride] for level in description.levels]
    if description.size_multiple == 1:
        del others["size_multiple"]
    return stages, {key: value for key, value in others.items() if value}


def _join(stages: list[Any], others: Mapping[str, Any]) -> Description:
    size = others.get("fixed_size")
    return Description(
        embed_dim=others["embed_dim"],
        stages=tuple(
            Stage(name, *(each if isinstance(each, str) else tuple(each) for each in blocks))
            for name, *blocks in stages
        ),
        levels=tuple(Level(*level) for level in others.get("levels", ())),
        pools=others.get("pools", False),
        fixed_size=None if size is None else (size[0], size[1]),
        size_multiple=others.get("size_multiple", 1),
        no_weight_decay=frozenset(),
        unread={what: tuple(names) for what, names in others["unread"].items()},
        **{key: tuple(others.get(key, ())) for key in TUPLES},
    )
