"""Whether a backbone gives what is read of it, and only that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fusionkit.features import Features, Reads
from fusionkit.testing.backbones.forward.compare import differences
from fusionkit.testing.backbones.forward.steadiness import require_steady
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, check

__all__ = ["only_what_is_read_comes"]

FEW = 6
"""Levels that are read one by one; of a transformer's dozens, only the first and the last are."""


@check("make forward give what each field of `reads` asks for", on_meta=True)
def only_what_is_read_comes(subject: BackboneSubject) -> Iterator[Finding]:
    """Vector and maps come when they are read, alone as together, and nothing else comes."""
    require_steady(subject)
    backbone = subject.copy()
    for reads in _requests(len(subject.pristine.levels)):
        answer: Any = subject.run(backbone, subject.example(), reads)
        if not isinstance(answer, Features):
            yield Finding(
                f"{_told(reads)} gives {type(answer).__name__}", "always return fusionkit.Features"
            )
            continue
        yield from _superfluous(answer, reads)
        if len(answer.maps) < len(reads.levels) or (reads.vector and answer.vector is None):
            yield Finding(
                f"{_told(reads)} gives {len(answer.maps)} maps and "
                f"{'a' if answer.vector is not None else 'no'} vector",
                "give one map for each index in reads.levels, and the vector if reads.vector",
            )
            continue
        for what in differences(answer, _part(subject.answer, reads), reads):
            yield Finding(
                f"{_told(reads)}: {what}, compared with reading everything",
                "give the same tensors whatever else is read, each map by its index",
            )


def _requests(levels: int) -> list[Reads]:
    """Gives few requests in which every level is read apart from its neighbours, or alone."""
    everything = tuple(range(levels))
    alone = [(level,) for level in everything] if levels <= FEW else []
    maps = dict.fromkeys(
        each
        for each in (everything[::2], everything[1::2], everything[:1], everything[-1:], *alone)
        if each
    )
    with_vector = everything[1::2] or everything
    return [
        Reads(vector=True),
        *(Reads(maps=each) for each in maps),
        *([Reads(vector=True, maps=with_vector)] if with_vector else []),
    ]


def _superfluous(answer: Features, reads: Reads) -> Iterator[Finding]:
    came = []
    if not reads.vector and answer.vector is not None:
        came.append("a vector")
    if len(answer.maps) > len(reads.levels):
        came.append(f"{len(answer.maps)} maps instead of {len(reads.levels)}")
    if not reads.logits and answer.logits is not None:
        came.append("logits")
    if came:
        yield Finding(
            f"{_told(reads)} gives also {' and '.join(came)}",
            "leave at None, or (), what reads does not ask for, and do not compute it",
        )


def _part(answer: Features, reads: Reads) -> Features:
    """Gives of an answer to everything what ``reads`` asks for."""
    maps = answer.maps if isinstance(answer.maps, tuple) else ()
    return Features(
        vector=answer.vector, maps=tuple(maps[level] for level in reads.levels if level < len(maps))
    )


def _told(reads: Reads) -> str:
    asked = [f"vector={reads.vector}"] if reads.vector else []
    asked += [f"maps={reads.maps}"] if reads.maps else []
    return f"Reads({', '.join(asked)})"
