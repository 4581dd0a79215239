"""What was asked for, and what images and texts have in common on the way to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor, nn

from fusionkit import AssemblyError, Backbone
from fusionkit_transformers.classifier import drop_classifier, find_classifiers, join_vector
from fusionkit_transformers.kinds import Kind
from fusionkit_transformers.layers import Section
from fusionkit_transformers.source import Source
from fusionkit_transformers.stages import find_stages
from fusionkit_transformers.trace import REFUSALS, Trace, unread_parameters
from fusionkit_transformers.trunk import (
    adapt_trunk,
    channel_field,
    load_trunk,
    make_trunk,
    takes_pooler,
)

__all__ = ["Trunk", "Wish", "build_trunk", "declare", "run_first", "still_unread"]

UNDECAYED = re.compile(
    r"(^|[._])(pos(ition)?_embed(ding)?s?|(cls|class|mask|distillation|dist|register)_tokens?"
    r"|class_embedding|relative_position_bias_table|probe|logit_scale)(\.weight)?$"
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for, looked up.

    Attributes:
        source: the model.
        kind: its class.
        in_channels: of the images.
        loads: whether the weights are loaded.
        num_classes: of the stock classifier, to keep it.
        pooling: where the vector is to come from, if that was said.
        interpolates: whether images of any size are taken.
        ignored_keys: globs over names in the weights that may be left out.
        trusts: whether code that comes with a repository is run.
        keys: the names in the weights, as far as they are here.
    """

    source: Source
    kind: Kind
    in_channels: int
    loads: bool
    num_classes: int | None
    pooling: str | None
    interpolates: bool
    ignored_keys: tuple[str, ...]
    trusts: bool
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trunk:
    """A model that was built.

    Attributes:
        module: the model, its classifier kept or left out.
        pooler: whether it has a pooler, where it can do without one.
        classifiers: the paths of the layers that give the logits of the stock model.
        num_classes: of the classifier, if it was kept.
    """

    module: nn.Module
    pooler: bool
    classifiers: tuple[str, ...]
    num_classes: int | None


def build_trunk(wish: Wish, *, pooler: bool) -> Trunk:
    """Gives the model with its parameters, and its classifier kept if it fits."""
    module = _build(wish, pooler)
    if not wish.kind.classifies:
        return Trunk(module, pooler, (), None)
    paths = find_classifiers(module)
    kept = bool(paths) and bool(wish.num_classes)
    kept = kept and wish.num_classes == wish.kind.config.num_labels
    (join_vector if kept else drop_classifier)(module, paths)
    return Trunk(module, pooler, paths, wish.num_classes if kept else None)


def run_first(wish: Wish, run: Callable[[], Trace]) -> Trace:
    """Gives the trace of the first run.

    Raises:
        AssemblyError: the model cannot be run on images or texts alone.
    """
    try:
        return run()
    except REFUSALS as error:
        raise AssemblyError(
            f"hf/{wish.source.name}: {wish.kind.trunk.__name__} cannot be run on "
            f"{wish.kind.takes} alone: {' '.join(str(error).split())[:300]}"
        ) from error


def still_unread(trunk: nn.Module, trace: Trace, outputs: Iterable[Tensor]) -> None:
    """Lets what no output depends on require no gradient, such as a mask token."""
    for name in unread_parameters(trace, outputs):
        trunk.get_parameter(name).requires_grad_(False)


def declare(
    wish: Wish, backbone: Backbone, trunk: Trunk, trace: Trace, sections: tuple[Section, ...]
) -> None:
    """Sets what images and texts declare alike."""
    names = [name for name, _ in trunk.module.named_parameters()]
    kept = trunk.num_classes is not None
    paths = tuple(f"{path}." for path in trunk.classifiers) if kept else ()
    own = frozenset(name for name in names if name.startswith(paths))
    backbone.stages = find_stages(trunk.module, sections, trace, own)
    backbone.num_classes = trunk.num_classes
    dropped = () if kept else tuple(f"{path}.*" for path in trunk.classifiers)
    if takes_pooler(wish.kind) and not trunk.pooler:
        dropped = (*dropped, "pooler.*")
    backbone.dropped_keys = dropped
    is_text = wish.kind.takes == "text"  # whose positions decay by custom, as all embeddings
    backbone.no_weight_decay = frozenset(
        name for name in names if UNDECAYED.search(name) and not (is_text and ".weight" in name)
    )


def _build(wish: Wish, pooler: bool) -> nn.Module:
    kind = wish.kind
    if not wish.loads:
        channels = wish.in_channels if kind.takes == "images" else None
        return make_trunk(kind, pooler=pooler, in_channels=channels)
    trunk = load_trunk(
        wish.source,
        kind,
        pooler=pooler,
        ignored_keys=wish.ignored_keys,
        trust_remote_code=wish.trusts,
    )
    field = channel_field(kind.config)
    trained_on = getattr(kind.config, field) if field is not None else 3
    if kind.takes == "images" and wish.in_channels != trained_on:
        return adapt_trunk(kind, trunk, pooler=pooler, in_channels=wish.in_channels)
    return trunk
