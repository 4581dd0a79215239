"""Whether a backbone says how it is built, to a reader and to a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fusionkit.backbone.contract import Backbone
from fusionkit.recipe.plain import copy_plain
from fusionkit.testing.backbones.subject import BackboneSubject, shapes_of
from fusionkit.testing.check import Finding, NotApplicableError, check
from fusionkit.testing.words import some

__all__ = ["rebuild_is_enough", "repr_works"]


@check("let repr work; leave out __repr__, and return a str from extra_repr", on_meta=True)
def repr_works(subject: BackboneSubject) -> Iterator[Finding]:
    """``repr`` gives a text."""
    if not repr(subject.pristine).strip():
        yield Finding("repr is empty", "leave out __repr__")


@check(
    "set rebuild to (name, options) with a name of the same provider and options of its factory, "
    "or leave it None",
    on_meta=True,
)
def rebuild_is_enough(subject: BackboneSubject) -> Iterator[Finding]:
    """``rebuild`` is a name and plain data, from which the same architecture is built."""
    rebuild: Any = subject.pristine.rebuild
    if rebuild is None:
        raise NotApplicableError("rebuild is None: its name and options are enough")
    if not (
        isinstance(rebuild, tuple)
        and len(rebuild) == 2
        and isinstance(rebuild[0], str)
        and rebuild[0]
        and isinstance(rebuild[1], Mapping)
    ):
        yield Finding(
            f"rebuild is {rebuild!r:.100}",
            "set it to the model's name at this provider, and a mapping of options",
        )
        return
    name, options = rebuild
    plain = copy_plain(options, "rebuild")  # refuses what JSON cannot hold
    if subject.factories is None:
        return
    channels = subject.pristine.in_channels
    built = subject.factories[name](in_channels=channels, weights=None, num_classes=None, **plain)
    for what, was, now in _facts(subject.pristine, built):
        if was != now:
            yield Finding(
                f"built by {name!r} and {plain!r:.80} it has {what} {now!s:.100}, not {was!s:.90}",
                "put every option that decides on the architecture into rebuild",
            )


def _facts(ours: Backbone, other: Backbone) -> Iterator[tuple[str, object, object]]:
    yield "the width", ours.embed_dim, other.embed_dim
    yield "the stages", _stages(ours), _stages(other)
    mine, theirs = shapes_of(ours), shapes_of(other)
    differ = sorted(name for name, _ in mine.items() ^ theirs.items())
    if differ:
        yield "other tensors:", "those it was built with", some(dict.fromkeys(differ))


def _stages(backbone: Backbone) -> str:
    return ", ".join(stage.name for stage in backbone.stages)
