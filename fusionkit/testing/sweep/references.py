"""Builds the provider's own model beside a backbone, to say what should have come out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.backbone.contract import Backbone
from fusionkit.features import Features
from fusionkit.testing.backbones.subject import Reference, StockKeys

__all__ = ["reference_for", "stock_keys_for"]


def reference_for(model: str, options: Mapping[str, Any]) -> Reference | None:
    """Gives what a backbone is compared with, or ``None`` where the provider is not known.

    Args:
        model: ``provider/name``.
        options: with which the backbone is built.
    """
    provider, _, name = model.partition("/")
    if provider == "timm":
        return lambda backbone, x: _ask_timm(name, options, backbone, x)
    if provider == "torchvision":
        return lambda backbone, x: _ask_torchvision(name, options, backbone, x)
    return None


def stock_keys_for(model: str, options: Mapping[str, Any]) -> StockKeys | None:
    """Gives what tells the keys of the provider's checkpoints, or ``None`` as above."""
    provider, _, name = model.partition("/")
    if provider == "timm":
        return lambda backbone: _keys(lambda: _build_timm(name, options))
    if provider == "torchvision":
        return lambda backbone: _keys(lambda: _build_torchvision(name, options, auxiliary=True))
    return None


def _keys(build: Callable[[], nn.Module]) -> list[str]:
    try:
        with torch.device("meta"):
            return list(build().state_dict())
    except (NotImplementedError, RuntimeError):  # it computes with values while it is built
        return list(build().state_dict())


@torch.no_grad()
def _ask_timm(name: str, options: Mapping[str, Any], backbone: Backbone, x: Tensor) -> Features:
    classes = backbone.num_classes or 0
    own: Any = _build_timm(name, options, in_chans=backbone.in_channels, num_classes=classes)
    own.load_state_dict(backbone.get_submodule(backbone.trunk_path).state_dict())
    own.eval()
    logits = own(x) if classes else None
    if classes:
        own.reset_classifier(0)
    vector = own(x)
    taken = own.forward_intermediates(x, output_fmt="NCHW", intermediates_only=True)
    maps = sorted((each for each in taken if each.ndim == 4), key=lambda each: -each.shape[2])
    # an encoder gives tokens or a map; what is pooled of it is the backbone's own choice
    return Features(vector if vector.ndim == 2 else None, tuple(maps), logits)


def _build_timm(name: str, options: Mapping[str, Any], **given: Any) -> nn.Module:
    import timm

    model: nn.Module = timm.create_model(name, **given, **options)
    return model


@torch.no_grad()
def _ask_torchvision(name: str, options: Mapping[str, Any], backbone: Any, x: Tensor) -> Features:
    own = _build_torchvision(name, options, auxiliary=False)
    if backbone.in_channels != 3:
        path = backbone.first_layers[0].removesuffix(".weight")
        own.set_submodule(path, _widened(own.get_submodule(path), backbone.in_channels))
        if hasattr(own, "transform_input"):
            own.transform_input = False  # type: ignore[assignment]
    classifier = _family(name).classifier
    if backbone.num_classes is None:
        own.set_submodule(classifier, nn.Identity())
    own.load_state_dict(backbone.get_submodule(backbone.trunk_path).state_dict())
    own.eval()
    answer = own(x)
    if backbone.num_classes is None:
        return Features(vector=answer.flatten(1))
    own.set_submodule(classifier, nn.Identity())
    return Features(vector=own(x).flatten(1), logits=answer)


def _build_torchvision(name: str, options: Mapping[str, Any], *, auxiliary: bool) -> nn.Module:
    from torchvision.models import get_model_builder

    given: dict[str, Any] = dict(options)
    if _family(name).auxiliary:
        given |= {"aux_logits": auxiliary, "init_weights": False}
    model: nn.Module = get_model_builder(name)(weights=None, **given)
    return model


def _family(name: str) -> Any:
    from torchvision.models import get_model_builder

    from fusionkit.providers.torchvision.families import FAMILIES

    return FAMILIES[get_model_builder(name).__module__.removeprefix("torchvision.models.")]


def _widened(old: Any, channels: int) -> nn.Module:
    """Gives a first layer for another channel count, to be filled."""
    made: nn.Module = type(old)(
        *(channels, old.out_channels, old.kernel_size, old.stride, old.padding),
        bias=old.bias is not None,
    )
    return made
