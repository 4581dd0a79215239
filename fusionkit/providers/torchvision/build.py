"""Builds one of torchvision's models as a backbone."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from fusionkit import Backbone, CheckpointError, OptionError, PluginError
from fusionkit.providers.torchvision.backbone import TorchvisionBackbone, TorchvisionVideoBackbone
from fusionkit.providers.torchvision.families import FAMILIES, Family
from fusionkit.providers.torchvision.first_layer import find_first_layer, replace_first_layer
from fusionkit.providers.torchvision.options import check_options, to_arguments
from fusionkit.providers.torchvision.weights import (
    WeightsEntry,
    describe_preprocessing,
    find_weights,
)

__all__ = ["build_backbone"]

CENTRED = (0.5, 0.5, 0.5)


def build_backbone(
    name: str,
    *,
    in_channels: int = 3,
    weights: str | None = None,
    num_classes: int | None = None,
    new_classifier: bool = False,
    **options: Any,
) -> Backbone:
    """Gives one of torchvision's models as a backbone.

    Args:
        name: as ``torchvision.models.list_models`` gives it.
        in_channels: other than three replaces the first layer, with its weights adapted.
        weights: ``None`` for random ones, ``"default"``, or a member of the model's weights
            enum such as ``"IMAGENET1K_V2"``; downloaded unless they lie in torch's cache.
        num_classes: keeps the classifier if it has this many classes.
        new_classifier: makes one of that many classes where there are no weights to load.
        options: of torchvision's builder, such as ``dropout``.

    Raises:
        ConfigError: there are no such weights.
        OptionError: an option that torchvision does not have, or a value that it refuses.
        CheckpointError: the weights cannot be downloaded, or are not what they should be.
    """
    from torchvision.models import get_model_builder

    builder = get_model_builder(name)
    family = _find_family(name, builder.__module__)
    model: type[nn.Module] = inspect.signature(builder).return_annotation
    check_options(name, family, model, in_channels, options)
    entry = None if weights is None else find_weights(name, weights)
    arguments = to_arguments(family, entry, options)
    classes = _count_classes(model, entry)
    if new_classifier and entry is None and num_classes:
        classes = arguments["num_classes"] = num_classes
    trunk = _build_trunk(name, builder, entry, arguments)
    kept = num_classes is not None and num_classes == classes
    embed_dim = _width(trunk.get_submodule(family.classifier))
    if not kept:
        trunk.set_submodule(family.classifier, nn.Identity())
    _drop_auxiliary(trunk, family)
    first_layer = find_first_layer(trunk)
    if in_channels != 3:
        replace_first_layer(trunk, first_layer, in_channels, pretrained=entry is not None)
        if family.renormalises:
            trunk.transform_input = False  # type: ignore[assignment]

    size = family.only_size(trunk) if family.only_size is not None else None
    described = entry or find_weights(name, "default")
    preprocessing = describe_preprocessing(described, frames=family.frames, only_size=size)
    if family.renormalises and not trunk.transform_input:
        # The stock weights were trained on these; the trunk would have turned into them what
        # torchvision describes.
        preprocessing = replace(preprocessing, mean=CENTRED, std=CENTRED)
    attributes: dict[str, Any] = {
        "embed_dim": embed_dim,
        "in_channels": in_channels,
        "first_layer": first_layer,
        "preprocessing": preprocessing.for_channels(in_channels),
        "num_classes": classes if kept else None,
        "weights": None if entry is None else entry.name,
        "rebuild": None if entry is None else (name, {**options, **_decided(family, trunk)}),
        "fixed_size": size,
        "least_size": 1 if size else family.smallest or min(described.meta["min_size"]),
    }
    try:
        if family.frames is None:
            backbone = TorchvisionBackbone(trunk, family, **attributes)
        else:
            frames = family.only_frames(trunk) if family.only_frames is not None else None
            backbone = TorchvisionVideoBackbone(trunk, family, fixed_frames=frames, **attributes)
    except RuntimeError as error:
        if not options:
            raise
        raise OptionError(
            f"torchvision/{name} cannot run as the options {sorted(options)} make it: {error}"
        ) from error
    backbone.license = None if entry is None else entry.meta.get("license")
    return backbone


def _decided(family: Family, trunk: nn.Module) -> dict[str, Any]:
    """Gives the options that torchvision sets by the weights, as the trunk has them."""
    decided: dict[str, Any] = {}
    if family.renormalises:
        decided["transform_input"] = bool(trunk.transform_input)
    for option in family.sized:
        decided[option] = getattr(trunk, option)
    return decided


def _find_family(name: str, module: str) -> Family:
    family = FAMILIES.get(module.removeprefix("torchvision.models."))
    if family is None:
        raise PluginError(
            f"torchvision/{name} is newer than this fusionkit, which does not know how {module} "
            "is built; update fusionkit, or take the model from another provider"
        )
    return family


def _build_trunk(
    name: str,
    builder: Callable[..., nn.Module],
    entry: WeightsEntry | None,
    arguments: dict[str, Any],
) -> nn.Module:
    """Calls torchvision's builder, which also downloads and loads, checking the file's hash."""
    try:
        return builder(weights=entry, progress=True, **arguments)
    except (TypeError, ValueError, AssertionError, NotImplementedError) as error:
        raise OptionError(f"torchvision/{name} refuses its options: {error}") from error
    except (OSError, RuntimeError) as error:
        damaged = "invalid hash" in str(error)
        if entry is None or not (damaged or isinstance(error, OSError)):
            raise
        what = "what came is damaged or another file" if damaged else "no network, or no answer"
        raise CheckpointError(
            f"torchvision/{name}: cannot fetch {entry} from {entry.url}: {what} ({error}); pass "
            "weights=None for random ones, or the path of a safetensors file"
        ) from error


def _count_classes(model: type[nn.Module], entry: WeightsEntry | None) -> int:
    if entry is not None:
        return len(entry.meta["categories"])
    classes: int = inspect.signature(model).parameters["num_classes"].default
    return classes


def _width(classifier: nn.Module) -> int:
    if isinstance(classifier, nn.Linear):
        return classifier.in_features
    assert isinstance(classifier, (nn.Conv2d, nn.Conv3d))
    return classifier.in_channels


def _drop_auxiliary(trunk: nn.Module, family: Family) -> None:
    for path in family.auxiliary:
        setattr(trunk, path, None)
        trunk.aux_logits = False  # type: ignore[assignment]
