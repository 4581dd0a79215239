"""Builds one backbone from the name of a timm model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from fusionkit import Backbone
from fusionkit.providers.timm.backbone import TimmBackbone
from fusionkit.providers.timm.create import create_empty, create_model, refuse_reserved
from fusionkit.providers.timm.describe import describe, input_size
from fusionkit.providers.timm.names import find_source
from fusionkit.providers.timm.prepare import read_preprocessing
from fusionkit.providers.timm.saved import describe_as, rebuild_of
from fusionkit.providers.timm.weights import load_trunk

__all__ = ["build_backbone", "build_empty"]


def build_backbone(
    name: str,
    /,
    *,
    in_channels: int = 3,
    weights: str | None = None,
    num_classes: int | None = None,
    new_classifier: bool = False,
    saved_config: Mapping[str, Any] | None = None,
    **options: Any,
) -> Backbone:
    """Gives a timm model as a backbone, with values in all its parameters.

    Args:
        name: an architecture, with or without a pretrained tag (``resnet50.a1_in1k``), a folder
            (``local-dir:/path``) or a hub repository (``hf-hub:owner/name``).
        in_channels: channels of the input. Pretrained first layers of three channels are
            adapted as ``fusionkit.adapt_input_channels`` says.
        weights: ``None`` for random parameters, ``"default"`` for the tag in the name or timm's
            own choice, or another tag of the architecture.
        num_classes: the stock classifier is kept if it has this many classes.
        new_classifier: makes one of that many classes where there are no weights to load.
        saved_config: what the ``config.json`` of a saved model says of it under
            ``pretrained_cfg`` and ``model_args``, so that one with random parameters, to be
            filled by the caller, is built without its folder. A backbone of a folder or a
            repository gives it in ``rebuild``, with the architecture as the name.
        options: those of timm's own model, such as ``drop_path_rate`` or ``img_size``.

    Raises:
        OptionError: the model does not take an option.
        ConfigError: no such weights.
        CheckpointError: the weights cannot be fetched or do not fit.
        AssemblyError: the model cannot take that many channels.
    """
    backbone = _build(
        name,
        options,
        in_channels=in_channels,
        weights=weights,
        num_classes=num_classes,
        new_classifier=new_classifier,
        saved_config=saved_config,
        empty=False,
    )
    assert backbone is not None
    return backbone


def build_empty(
    name: str,
    /,
    *,
    in_channels: int = 3,
    weights: None = None,
    num_classes: int | None = None,
    new_classifier: bool = False,
    saved_config: Mapping[str, Any] | None = None,
    **options: Any,
) -> Backbone | None:
    """Gives the same without weights, for a caller who fills all that a state dict has.

    Its parameters have no values. The model that was built to describe it is the trunk itself.
    Gives ``None`` where it has other tensors, which must have their values.
    """
    return _build(
        name,
        options,
        in_channels=in_channels,
        weights=weights,
        num_classes=num_classes,
        new_classifier=new_classifier,
        saved_config=saved_config,
        empty=True,
    )


def _build(
    name: str,
    options: dict[str, Any],
    *,
    in_channels: int,
    weights: str | None,
    num_classes: int | None,
    new_classifier: bool,
    saved_config: Mapping[str, Any] | None,
    empty: bool,
) -> Backbone | None:
    source = find_source(name, weights)
    if saved_config is not None:
        source = describe_as(source, weights, saved_config)
    if new_classifier and weights is None:
        source = source.with_classes(num_classes or 0)
    written = options
    options = refuse_reserved(source, options)
    keeps_classifier = bool(num_classes) and num_classes == source.num_classes
    spare: list[nn.Module] | None = [] if empty else None
    description = describe(source, in_channels, keeps_classifier, options, spare)
    if spare is not None:
        trunk = spare[0] if spare else create_empty(source, in_channels, keeps_classifier, options)
        if trunk is None:
            return None
    elif weights is None:
        trunk = create_model(source, in_channels, keeps_classifier, options)
    else:
        trunk = load_trunk(source, description, in_channels, keeps_classifier, options)
    size = input_size(source, options)
    backbone = TimmBackbone(
        trunk,
        description,
        in_channels=in_channels,
        num_classes=num_classes if keeps_classifier else None,
        weights=None if weights is None else source.name,
        rebuild=None if saved_config is not None else rebuild_of(source, name, weights, written),
        preprocessing=read_preprocessing(source.description, size, in_channels),
    )
    if weights is not None:
        backbone.license = source.description.get("license")
        backbone.base_model = source.base_model
    return backbone
