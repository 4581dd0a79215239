"""The text in which descriptions of many models are kept, with what they share written once.

A line that begins with ``=`` is a part of descriptions, as JSON after a digest of it. Any other is
a way to build a model: name, size, what becomes of its classifier, class and digest of the model,
and the digests of two parts, its stages and all else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from fusionkit import Level, Stage
from fusionkit.providers.timm.description import Description

__all__ = ["look_up", "write_shelf"]

TUPLES = ("level_indices", "first_layers", "unadaptable", "dropped_keys")

Way = tuple[str, tuple[int, int], bool, bool]
"""Name, size, and whether the classifier is kept, and whether there is one."""


def write_shelf(known: Iterable[tuple[Way, str, Description]]) -> str:
    """Gives the text for ways to build models, with what identifies each model and describes it.

    What can be read off a model at once is left out.
    """
    parts: dict[str, str] = {}
    lines = []
    for way, model, description in known:
        digests = [_put(part, parts) for part in _split(description)]
        lines.append(" ".join([_key(*way), model, *digests]))
    shared = (f"={digest} {text}" for digest, text in sorted(parts.items()))
    return "".join(f"{line}\n" for line in (*shared, *sorted(lines)))


def look_up(
    text: str, name: str, size: tuple[int, int], keeps_classifier: bool, has_classifier: bool
) -> tuple[str, Description] | None:
    """Gives what identifies the model that is built in a way, and its description."""
    line = _rest_of_line(text, f"{_key(name, size, keeps_classifier, has_classifier)} ")
    if line is None:
        return None
    model, *digests = line.rsplit(" ", 2)
    stages, others = (json.loads(_rest_of_line(text, f"={each} ") or "") for each in digests)
    return model, _join(stages, others)


def _rest_of_line(text: str, beginning: str) -> str | None:
    start = 0 if text.startswith(beginning) else text.find(f"\n{beginning}") + 1
    if not start and not text.startswith(beginning):
        return None
    start += len(beginning)
    return text[start : text.index("\n", start)]


def _key(name: str, size: tuple[int, int], keeps: bool, has: bool) -> str:
    return f"{name} {size[0]}x{size[1]} {'keeps' if keeps else 'drops' if has else 'lacks'}"


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
