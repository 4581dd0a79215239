"""What a timm model is, found on the meta device before anything is built."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from torch import nn

from fusionkit import (
    AssemblyError,
    FusionKitError,
    Level,
    OptionError,
    cover_parameters,
)
from fusionkit.providers.timm.create import create_model
from fusionkit.providers.timm.description import Description
from fusionkit.providers.timm.empty import Born, Snapshot, give_memory
from fusionkit.providers.timm.known import identify, recall
from fusionkit.providers.timm.names import Source
from fusionkit.providers.timm.shelf import Way
from fusionkit.providers.timm.stages import find_stages
from fusionkit.providers.timm.trace import REFUSALS, Trace, find_sizes, trace_model

__all__ = ["describe", "input_size", "way_of"]

RGB = 3


def describe(
    source: Source,
    in_channels: int,
    keeps_classifier: bool,
    options: Mapping[str, Any],
    spare: list[nn.Module] | None = None,
) -> Description:
    """Gives the description of a model; it is found once for each way to build it.

    Args:
        source: what is described.
        in_channels: of the input.
        keeps_classifier: whether it has its stock classifier.
        options: of timm's own model.
        spare: takes the model that was built for it, on the CPU and without values, if one was
            built that can be used.

    Raises:
        OptionError: the model does not take an option, or not that value.
        AssemblyError: the model cannot be built for that many channels, or has no vector.
    """
    key = json.dumps(options, sort_keys=True, default=repr)
    with warnings.catch_warnings():
        # These are models that nobody gets; the one that is built warns for itself.
        warnings.simplefilter("ignore")
        return _describe(_Question(source, in_channels, keeps_classifier, options, key, spare))


@dataclass(frozen=True, slots=True, eq=False)
class _Question:
    source: Source
    in_channels: int
    keeps_classifier: bool
    options: Mapping[str, Any]
    key: str
    spare: list[nn.Module] | None

    def identity(self) -> tuple[object, ...]:
        source = self.source
        place = (source.name, source.is_registered, repr(source.description), repr(source.options))
        return (*place, self.in_channels, self.keeps_classifier, self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Question) and self.identity() == other.identity()

    def __hash__(self) -> int:
        return hash(self.identity())


@lru_cache(maxsize=64)
def _describe(question: _Question) -> Description:
    source, channels, keeps = question.source, question.in_channels, question.keeps_classifier
    born = None if question.spare is None else Born()
    model = create_model(source, channels, keeps, question.options, device="meta", born=born)
    before = None
    description = _recall(question, model)
    if description is None:
        before = Snapshot(model)
        description = _measure(question, model, born)
    if question.spare is not None and born is not None:
        model.train()
        if (before is None or before.is_unchanged()) and give_memory(model, born):
            question.spare.append(model)
    return description


def _recall(question: _Question, model: nn.Module) -> Description | None:
    """Gives what is known of a model that timm builds where nothing else is said."""
    from timm.models import model_entrypoint

    source = question.source
    if not source.is_registered or source.options or question.options:
        return None
    if question.in_channels != RGB:
        return None
    if not model_entrypoint(source.architecture).__module__.startswith("timm.models."):
        return None  # somebody registered the name anew, maybe with other defaults
    known = recall(way_of(source, question.keeps_classifier))
    if known is None or known.model != identify(model):
        return None
    return replace(known.description, no_weight_decay=_no_weight_decay(model))


def way_of(source: Source, keeps_classifier: bool) -> Way:
    """Gives the way to build a model under which it may be known."""
    size = input_size(source, {})
    return Way(source.architecture, size, keeps_classifier, source.num_classes > 0)


def _measure(question: _Question, model: nn.Module, born: Born | None) -> Description:
    """Gives what running a model shows, and what another way to build it tells."""
    source, keeps = question.source, question.keeps_classifier
    other = _build_other(question)
    size = input_size(source, question.options)
    trace, size, fixed_size, multiple = _run(question, model, size, born)
    if len(trace.vector) != 2:
        raise OptionError(
            f"timm/{source.name} gives no pooled vector 'b d' with the options "
            f"{dict(question.options)!r}, but one of shape {trace.vector}; leave out global_pool=''"
        )
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    opposite = {name: tuple(value.shape) for name, value in other.state_dict().items()}
    more, fewer = (own, opposite) if keeps else (opposite, own)
    gone = [name for name in more if name not in fewer]
    first, strange = _compare(model, own, opposite)
    parameters = {name for name, _ in model.named_parameters()}
    classifier = frozenset(gone) & parameters if keeps else frozenset[str]()
    indices, levels = _levels(model, trace, size)
    return Description(
        embed_dim=trace.vector[1],
        stages=find_stages(model, trace.first_use, classifier),
        levels=levels,
        level_indices=indices,
        pools=trace.has_head,
        fixed_size=fixed_size,
        size_multiple=multiple,
        first_layers=() if strange else first,
        unadaptable=strange,
        dropped_keys=() if keeps else _as_globs(gone, more),
        no_weight_decay=_no_weight_decay(model),
    )


def _build_other(question: _Question) -> nn.Module:
    """Builds the same model with the other choice of classifier and another channel count."""
    source, channels, keeps = question.source, question.in_channels, question.keeps_classifier
    another = 3 if channels != 3 else 4
    try:
        return create_model(source, another, not keeps, question.options, device="meta")
    except FusionKitError:  # it can be built for one channel count only
        return create_model(source, channels, not keeps, question.options, device="meta")


def input_size(source: Source, options: Mapping[str, Any]) -> tuple[int, int]:
    """Gives height and width in pixels that a model is meant for."""
    size = options.get("img_size") or source.options.get("img_size")
    if size is None:
        size = source.description.get("input_size", (3, 224, 224))[-2:]
    if isinstance(size, int):
        return size, size
    height, width = size
    return int(height), int(width)


def _run(
    question: _Question, model: nn.Module, size: tuple[int, int], born: Born | None
) -> tuple[Trace, tuple[int, int], tuple[int, int] | None, int]:
    """Gives the trace, the size it was taken at, and which sizes the model takes."""
    source, channels = question.source, question.in_channels
    try:
        trace = trace_model(model, channels, size, born)
        return trace, size, *find_sizes(model, channels, size, trace, born)
    except REFUSALS as error:
        if "meta tensors" in str(error):
            return _run_small(question, size)
        if channels != 3:
            raise AssemblyError(
                f"timm/{source.name} cannot run on {channels} channels: {error}; "
                "give it three, or take another model"
            ) from error
        raise AssemblyError(f"timm/{source.name} cannot run at {size} pixels: {error}") from error


def _run_small(
    question: _Question, size: tuple[int, int]
) -> tuple[Trace, tuple[int, int], tuple[int, int] | None, int]:
    """Runs on the CPU, at a small size, a model that computes shapes from values."""
    source, channels = question.source, question.in_channels
    model = create_model(
        source, channels, question.keeps_classifier, question.options, device="cpu"
    )
    for part in (8, 4, 2):
        small = size[0] // part, size[1] // part
        try:
            trace = trace_model(model, channels, small)
            return trace, small, *find_sizes(model, channels, small, trace)
        except REFUSALS:
            continue
    return trace_model(model, channels, size), size, size, 1


def _compare(
    model: nn.Module, own: Mapping[str, tuple[int, ...]], other: Mapping[str, tuple[int, ...]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Gives the parameters that read the channels along dimension 1, and all others that differ."""
    in_channels: int = model.in_chans  # type: ignore[assignment]
    first: list[str] = []
    strange: list[str] = []
    for name, shape in own.items():
        against = other.get(name, shape)
        if shape != against:
            along = (
                len(shape) > 1
                and shape[:1] + shape[2:] == against[:1] + against[2:]
                and shape[1] == in_channels
            )
            (first if along else strange).append(name)
    return tuple(first), tuple(strange)


def _levels(
    model: nn.Module, trace: Trace, size: tuple[int, int]
) -> tuple[tuple[int, ...], tuple[Level, ...]]:
    """Gives the levels that really come out, fine to coarse, and timm's numbers for them."""
    entries: list[dict[str, Any]] = list(model.feature_info)  # type: ignore[arg-type]
    found = []
    for index, shape in enumerate(trace.maps):
        if len(shape) != 4:
            continue
        measured = size[0] / shape[2]
        declared = entries[index]["reduction"] if index < len(entries) else 0
        # without padding a map is a little smaller than its stride says
        close = declared and abs(measured / declared - 1) <= 0.25
        found.append((index, Level(shape[1], int(declared) if close else round(measured))))
    found.sort(key=lambda pair: pair[1].stride)
    return tuple(index for index, _ in found), tuple(level for _, level in found)


def _as_globs(keys: list[str], everything: Mapping[str, object]) -> tuple[str, ...]:
    paths = cover_parameters(keys, everything)
    return tuple(path if path in everything else f"{path}.*" for path in paths)


def _no_weight_decay(model: nn.Module) -> frozenset[str]:
    declare = getattr(model, "no_weight_decay", None)
    declared = set(declare()) if declare is not None else set()
    return frozenset(
        name
        for name, _ in model.named_parameters()
        if name in declared or any(part and name.endswith(f".{part}") for part in declared)
    )
