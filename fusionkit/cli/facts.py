"""What ``fusionkit info`` tells of one backbone or head, as values."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from fusionkit.card import Card, card_of
from fusionkit.cli.docstring import read_docstring
from fusionkit.errors import AssemblyError, FusionKitError

if TYPE_CHECKING:
    from fusionkit.backbone.contract import Backbone
    from fusionkit.backbone.depth import Level
    from fusionkit.catalog import BackboneEntry, HeadEntry
    from fusionkit.preprocessing import Preprocessing

__all__ = [
    "BackboneFacts",
    "FactoryOption",
    "HeadFacts",
    "StageFacts",
    "study_backbone",
    "study_head",
]

BRANCHES_OWN = frozenset({"in_channels", "weights", "num_classes", "new_classifier"})
"""What a backbone's factory is given by fields of the branch, and not by its options."""


@dataclass(frozen=True, slots=True)
class StageFacts:
    """One stage: its name, how many blocks it has, and how many parameters."""

    name: str
    blocks: int
    parameters: int


@dataclass(frozen=True, slots=True)
class FactoryOption:
    """One option of a backbone or head.

    Attributes:
        name: as a recipe gives it.
        type: its type as written.
        default: its default as written; ``None`` where it must be given.
        description: what the docstring says of it.
    """

    name: str
    type: str
    default: str | None
    description: str


@dataclass(frozen=True, slots=True)
class BackboneFacts:
    """One backbone, as it is built without weights.

    Attributes:
        name: ``provider/model``.
        distribution: what it came with, or ``None`` for a plugin given in Python.
        version: that distribution's version.
        parameters: how many the trunk has, without a classifier.
        embed_dim: the width d of its vector "b d".
        stages: in the order in which they run.
        levels: width and stride of its maps "b c h w", fine to coarse.
        in_channels: the channels of the input.
        preprocessing: how inputs are to be prepared; ``None`` where unknown without weights.
        fixed_size: the only (height, width) in pixels that it takes; ``None`` for any.
        size_multiple: height and width must be multiples of it.
        weights: names of pretrained weights; ``None`` where the provider does not list them.
        options: of its factory's signature.
    """

    name: str
    distribution: str | None
    version: str | None
    parameters: int
    embed_dim: int
    stages: tuple[StageFacts, ...]
    levels: tuple[Level, ...]
    in_channels: int
    preprocessing: Preprocessing | None
    fixed_size: tuple[int, int] | None
    size_multiple: int
    weights: tuple[str, ...] | None
    options: tuple[FactoryOption, ...] = ()


@dataclass(frozen=True, slots=True)
class HeadFacts:
    """One head: what its docstring says, by paragraphs, and the options of its signature.

    The card is ``None`` where the head has none.
    """

    name: str
    distribution: str | None
    version: str | None
    description: tuple[str, ...]
    options: tuple[FactoryOption, ...]
    card: Card | None = None


def study_backbone(entry: BackboneEntry) -> BackboneFacts:
    """Builds a backbone without weights, on no device where it can be, and looks at it.

    Raises:
        AssemblyError: it cannot be built, or breaks its contract.
    """
    from fusionkit.model.anatomy import read_anatomy, trunk_of

    backbone = _build(entry)
    trunk = trunk_of(backbone)
    anatomy = read_anatomy(backbone)
    counts = [0] * len(anatomy.stages)
    for slot in anatomy.slots:
        counts[slot.stage] += trunk.get_parameter(slot.name).numel()
    return BackboneFacts(
        name=entry.name,
        distribution=entry.distribution,
        version=entry.version,
        parameters=sum(counts),
        embed_dim=backbone.embed_dim,
        stages=tuple(
            StageFacts(stage.name, len(stage.blocks), count)
            for stage, count in zip(backbone.stages, counts, strict=True)
        ),
        levels=backbone.levels,
        in_channels=backbone.in_channels,
        preprocessing=backbone.preprocessing,
        fixed_size=backbone.fixed_size,
        size_multiple=backbone.size_multiple,
        weights=_weights(entry),
        options=_options(entry.factory, BRANCHES_OWN),
    )


def study_head(entry: HeadEntry) -> HeadFacts:
    """Reads a head's docstring, signature and card."""
    filled_in = {"num_classes"}  # by compose, and not by a recipe
    if getattr(entry.factory, "takes_catalog", False):
        filled_in.add("catalog")
    description, _ = read_docstring(inspect.getdoc(entry.factory))
    return HeadFacts(
        name=entry.name,
        distribution=entry.distribution,
        version=entry.version,
        description=description,
        options=_options(entry.factory, filled_in),
        card=card_of(entry.factory),
    )


def _options(factory: Any, filled_in: Collection[str]) -> tuple[FactoryOption, ...]:
    """Gives the options of a factory's signature, without what compose fills in."""
    try:
        parameters = list(inspect.signature(factory).parameters.values())
    except (TypeError, ValueError):  # some callables written in C have none
        return ()
    said = _arguments(factory)
    return tuple(
        FactoryOption(
            parameter.name,
            "" if parameter.annotation is parameter.empty else _written(parameter.annotation),
            None if parameter.default is parameter.empty else repr(parameter.default),
            said.get(parameter.name, ""),
        )
        for parameter in parameters
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name not in filled_in
    )


def _arguments(factory: object) -> dict[str, str]:
    """Gives what the docstring says of each argument; a class's own comes before its bases'."""
    if isinstance(factory, partial):
        factory = factory.func
    if not isinstance(factory, type):
        return read_docstring(inspect.getdoc(factory))[1]
    said: dict[str, str] = {}
    for each in reversed(factory.__mro__):
        said |= read_docstring(each.__dict__.get("__doc__"))[1]
    return said


def _build(entry: BackboneEntry) -> Backbone:
    import torch

    from fusionkit.model.measure import measure_stages

    def build() -> Backbone:
        return entry.factory(in_channels=3, weights=None, num_classes=None)

    try:
        with torch.device("meta"):
            backbone = build()
        if hasattr(backbone, "stages"):
            return backbone
    except Exception:
        # many models compute with numbers while they are built, which needs a device
        backbone = None
    try:
        backbone = build()
    except FusionKitError:
        raise
    except Exception as error:
        raise AssemblyError(
            f"{entry.name} cannot be built without weights: {type(error).__name__}: {error}"
        ) from error
    if not hasattr(backbone, "stages"):
        backbone.stages = measure_stages(backbone)
    return backbone


def _weights(entry: BackboneEntry) -> tuple[str, ...] | None:
    known: Any = getattr(entry.factory, "available_weights", None)
    return None if known is None else tuple(known() if callable(known) else known)


def _written(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
