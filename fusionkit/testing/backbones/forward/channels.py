"""Whether a backbone is built for inputs of other channels, and says which layers follow them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from fusionkit.backbone.contract import Backbone
from fusionkit.errors import AssemblyError, ConfigError
from fusionkit.features import Reads
from fusionkit.model.anatomy import trunk_of
from fusionkit.preprocessing import Preprocessing
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, NotApplicableError, check
from fusionkit.testing.inputs import first_of, moved, resized
from fusionkit.testing.perturb import perturb
from fusionkit.testing.words import some

__all__ = ["first_layers_follow_the_channels", "other_channel_counts_work"]

COUNTS = (1, 2, 4)
MOST = max(COUNTS)
UNMOVED = 1e-4
"""Of the change that the most telling channel brings: less is rounding."""
AUDIBLE = 1e-3
"""Of the largest value: what a change of the input must bring for anything to be said."""
REFUSALS = (AssemblyError, ConfigError)


@check("pass in_channels on to the first layer, or refuse a count with fusionkit.AssemblyError")
def other_channel_counts_work(subject: BackboneSubject) -> Iterator[Finding]:
    """Built for 1, 2 or 4 channels it takes so many and reads each, or is refused in plain words.

    Its preprocessing, if it has one, is for as many.
    """
    subject.require("in_channels")
    vector: object = subject.answer.vector
    if not isinstance(vector, Tensor) or vector.shape != (2, subject.pristine.embed_dim):
        raise NotApplicableError("vector_is_as_declared says what is wrong")
    refused: list[Exception] = []
    counts = [count for count in COUNTS if count != subject.in_channels]
    working: list[int] = []
    unfit: dict[int, int] = {}
    stuck: dict[str, tuple[int, int]] = {}
    own_parts = dict(trunk_of(subject.pristine).named_parameters())
    following = [
        name
        for name in subject.pristine.first_layers
        if name in own_parts and own_parts[name].shape[1:2] == (subject.in_channels,)
    ]
    for count in counts:
        try:
            # numbers matter little here, and the meta device is many times faster
            built = subject.build_without_data(in_channels=count)
            works = built.in_channels == count and _width(subject, built) is not None
        except REFUSALS as error:
            refused.append(error)
            continue
        except Exception:  # the real one says whether it was the device's fault
            works = False
        if not works:
            told = list(_tried(subject, count))
            yield from told
            working += [] if told else [count]
            continue
        working.append(count)
        parts = dict(trunk_of(built).named_parameters())
        for name in following:
            if name in parts and parts[name].shape[1] != count:
                stuck.setdefault(name, (count, parts[name].shape[1]))
        if (means := _means(built)) not in (None, count):
            unfit[count] = means
    for name, (count, width) in stuck.items():
        yield Finding(
            f"built for {count} channels, {name} is for {width}",
            "build the first layer for in_channels, so that weights can be adapted to it and "
            "saved from it, or refuse the count with fusionkit.AssemblyError",
        )
    own = _means(subject.pristine)
    if unfit and own in (None, subject.in_channels):  # else preprocessing_fits tells
        count, means = next(iter(unfit.items()))
        yield Finding(
            f"built for {count} channels, its preprocessing has {means} means and deviations",
            "write self.preprocessing = fusionkit.Preprocessing(...).for_channels(in_channels)",
        )
    if len(refused) == len(counts):
        raise NotApplicableError(f"it takes {subject.in_channels} channels only: {refused[0]}")
    if MOST in working and subject.takes_images:
        yield from _unread_channels(subject)


@check("name in first_layers the parameters that read the input's channels", on_meta=True)
def first_layers_follow_the_channels(subject: BackboneSubject) -> Iterator[Finding]:
    """``first_layers`` are exactly the parameters that have the channels along dimension 1."""
    subject.require("in_channels")
    if not subject.takes_images:
        raise NotApplicableError("its inputs are no images")
    backbone = subject.pristine
    own, more = backbone.in_channels, backbone.in_channels + 1
    try:
        other = subject.build_without_data(in_channels=more)
    except REFUSALS as error:
        raise NotApplicableError(f"it is not built for {more} channels: {error}") from error
    shapes = {name: tuple(value.shape) for name, value in trunk_of(backbone).named_parameters()}
    others = {name: tuple(value.shape) for name, value in trunk_of(other).named_parameters()}
    if other.in_channels != more or shapes == others:
        raise NotApplicableError("other_channel_counts_work says what is wrong")
    differ = [name for name, shape in shapes.items() if others.get(name, shape) != shape]
    along = [name for name in differ if _follows(shapes[name], others[name], own, more)]
    declared = list(backbone.first_layers)
    if not declared and len(along) < len(differ):
        return  # some cannot be adapted, so that none is
    if unknown := [name for name in declared if name not in shapes]:
        yield Finding(
            f"first_layers names {some(unknown)}, which are no parameters of the trunk",
            f"name parameters by their paths inside the trunk: {some(along)}",
        )
    if wrong := [name for name in declared if name in shapes and name not in along]:
        yield Finding(
            f"first_layers names {some(wrong)}, whose dimension 1 is not the input's channels",
            f"name only {some(along) or 'layers that read the input'}",
        )
    if missing := [name for name in along if name not in declared]:
        yield Finding(
            f"{some(missing)} follow in_channels along dimension 1, but first_layers is "
            f"{declared or 'empty'}",
            f"set self.first_layers = {tuple(along)}, so that pretrained weights can be adapted",
        )


def _follows(shape: tuple[int, ...], other: tuple[int, ...], own: int, more: int) -> bool:
    """Tells whether two shapes differ in dimension 1 alone, which is the channel count."""
    return (
        len(shape) == len(other) > 1
        and shape[:1] + shape[2:] == other[:1] + other[2:]
        and (shape[1], other[1]) == (own, more)
    )


def _tried(subject: BackboneSubject, count: int) -> Iterator[Finding]:
    """Gives what goes wrong with a real backbone for so many channels."""
    try:
        built = subject.build(in_channels=count)
    except Exception as error:
        yield Finding(
            f"in_channels={count} raises {type(error).__name__}: {str(error)[:300]}",
            "build the first layer for in_channels, or refuse with fusionkit.AssemblyError",
        )
        return
    if built.in_channels != count:
        yield Finding(
            f"asked for {count} channels, in_channels is {built.in_channels}",
            "set self.in_channels = in_channels",
        )
        return
    try:
        width = _width(subject, built)
    except Exception as error:
        yield Finding(
            f"built for {count} channels, it raises {type(error).__name__} on its own example: "
            f"{str(error)[:300]}",
            "make __init__, check_input, example and forward follow in_channels",
        )
        return
    if width is None:
        yield Finding(
            f"built for {count} channels, its vector is not 2 x {built.embed_dim}",
            "leave the width as it is, or set embed_dim to what it becomes",
        )


def _unread_channels(subject: BackboneSubject) -> Iterator[Finding]:
    """Tells which of four channels the vector does not depend on, if it depends on others."""
    built = subject.build(in_channels=MOST)
    if any(value.is_meta for value in built.parameters()):  # each_call_builds_anew says why
        return
    perturb(built)
    built.eval()
    x = resized(built.example(1), subject.sizes[0]).repeat_interleave(1 + MOST, 0)
    for channel in range(MOST):
        x[1 + channel, channel] = -x[1 + channel, channel]
    vector = subject.run(built, x, Reads(vector=True)).vector
    assert vector is not None
    vector = vector.detach()  # vector_is_as_declared tells where it has a gradient
    moved = (vector[1:] - vector[:1]).abs().amax(1)
    most, scale = float(moved.max()), float(vector.abs().max())
    unread = [channel for channel in range(MOST) if float(moved[channel]) <= UNMOVED * most]
    if most > AUDIBLE * scale and unread:
        yield Finding(
            f"built for {MOST} channels, its vector does not depend on those numbered "
            f"{some(map(str, unread))}",
            "build the first layer for in_channels and give it all of them, or refuse the count "
            "with fusionkit.AssemblyError",
        )


def _means(built: Backbone) -> int | None:
    """Gives for how many channels its preprocessing is, if it has one."""
    preprocessing: object = built.preprocessing
    return len(preprocessing.mean) if isinstance(preprocessing, Preprocessing) else None


def _width(subject: BackboneSubject, built: Backbone) -> int | None:
    """Gives the width of the vector that comes out, if it is as declared."""
    x = built.example(2)
    x = resized(x, subject.sizes[0]) if subject.sizes else first_of(x, 2)
    device = next((value.device for value in built.parameters()), torch.device("cpu"))
    x = moved(x, device)
    built.check_input(x)
    vector = subject.run(built.eval(), x, Reads(vector=True)).vector
    fits = vector is not None and tuple(vector.shape) == (2, built.embed_dim)
    return built.embed_dim if fits else None
