"""Calls timm to build a model, and says in plain words what it refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._device import DeviceContext, _device_constructors

from fusionkit import AssemblyError, OptionError, did_you_mean
from fusionkit.providers.timm.empty import Born, give_memory
from fusionkit.providers.timm.names import Source
from fusionkit.providers.timm.saved import without_places

__all__ = ["create_empty", "create_model", "create_stock", "refuse_reserved"]

RESERVED = {
    "in_chans": "write in_channels",
    "pretrained": "write weights",
    "pretrained_cfg": "write the tag in the model's name",
    "pretrained_cfg_overlay": "write the tag in the model's name",
    "pretrained_strict": "weights are always loaded strictly",
    "pretrained_model_args": "it belongs to timm's loader",
    "checkpoint_path": "write weights",
    "features_only": "every backbone gives maps, with the stock parameter names",
    "out_indices": "the head says which maps it reads",
    "feature_cfg": "the head says which maps it reads",
    "feature_cls": "the head says which maps it reads",
    "pruned": "choose a model that is registered as pruned",
    "device": "move the model with .to()",
    "dtype": "move the model with .to()",
    "cache_dir": "set the environment variable HF_HOME",
}

DRAWING = frozenset(("kaiming_uniform_", "normal_", "uniform_"))
FILLING = frozenset(("erfinv_", "clamp_", "mul_", "add_", "sub_", "div_", "fill_", "zero_"))
SKIPPED = DRAWING | FILLING


def refuse_reserved(source: Source, options: Mapping[str, Any]) -> dict[str, Any]:
    """Gives the options, if none of them is fusionkit's own business or means nothing here.

    Raises:
        OptionError: names the option and what to write instead.
    """
    for option in options:
        if option in RESERVED:
            raise OptionError(
                f"timm/{source.name} takes no option {option!r} here: {RESERVED[option]}"
            )
    empty = [option for option, value in options.items() if value is None]
    if empty:  # timm leaves these out before its model could refuse them
        known = _known_options(source)
        for option in empty:
            if option not in known:
                raise _unknown(source, option, known)
    return {option: value for option, value in options.items() if value is not None}


def create_model(
    source: Source,
    in_channels: int,
    keeps_classifier: bool,
    options: Mapping[str, Any],
    *,
    device: str | None = None,
    born: Born | None = None,
) -> nn.Module:
    """Gives a model with random parameters, where torch builds by default.

    With ``device`` its parameters are never initialised; ``born`` then takes note of all tensors
    that were made.

    Raises:
        OptionError: the model does not take an option, or not that value.
        AssemblyError: the model cannot be built for that many channels.
    """
    arguments = {
        **source.options,
        **options,
        "in_chans": in_channels,
        "num_classes": source.num_classes if keeps_classifier else 0,
    }
    try:
        if device is None:
            return _call(source, arguments)
        with _OnDevice(device, born):
            return _call(source, arguments)
    except (AssertionError, AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        _explain(source, in_channels, options, error)
        raise


def create_empty(
    source: Source, in_channels: int, keeps_classifier: bool, options: Mapping[str, Any]
) -> nn.Module | None:
    """Gives a model on the CPU without values, or ``None`` where some must have theirs."""
    born = Born()
    model = create_model(source, in_channels, keeps_classifier, options, device="meta", born=born)
    return model if give_memory(model, born) else None


class _OnDevice(DeviceContext):
    """Makes tensors on a device, and skips what would fill them with initial values."""

    def __init__(self, device: str, born: Born | None) -> None:
        super().__init__(device)
        self._constructors = _device_constructors()
        self._born = born

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Gives the tensor itself for a filling function, and passes every other call on."""
        called = getattr(func, "__name__", "")
        given = kwargs or {}
        if called in SKIPPED:
            target = args[0] if args else given.get("tensor")
            if isinstance(target, Tensor) and (called in DRAWING or target.is_meta):
                return target
        elif func in self._constructors and given.get("device") is None:
            given = {**given, "device": self.device}
        made = func(*args, **given)
        if self._born is not None and made is not None:
            self._born.note(made)
        return made


def create_stock(source: Source, options: Mapping[str, Any], **weights: Any) -> nn.Module:
    """Gives the model as its weights have it, with its own channels and classifier."""
    return _call(source, {**source.options, **options, **weights}, pretrained=True)


def _call(source: Source, arguments: Mapping[str, Any], **more: Any) -> nn.Module:
    import timm

    model: nn.Module
    if source.is_registered:
        model = timm.create_model(source.name, **more, **arguments)
    else:
        description = without_places(source.description)
        model = timm.create_model(
            source.architecture, pretrained_cfg=description, **more, **arguments
        )
    return model


def _explain(
    source: Source, in_channels: int, options: Mapping[str, Any], error: Exception
) -> None:
    unknown = re.search(r"unexpected keyword argument\S*:? \[?'(\w+)'", str(error))
    if unknown is not None and unknown[1] in options:
        raise _unknown(source, unknown[1], _known_options(source)) from error
    if options:
        written = ", ".join(f"{key}={value!r}" for key, value in options.items())
        raise OptionError(f"timm/{source.name} cannot be built with {written}: {error}") from error
    if in_channels != 3:
        raise AssemblyError(
            f"timm/{source.name} cannot be built for {in_channels} channels: {error}; "
            "give it three, or take another model"
        ) from error


def _unknown(source: Source, option: str, known: list[str]) -> OptionError:
    return OptionError(
        f"timm/{source.name} takes no option {option!r}.{did_you_mean(option, known)}"
    )


def _known_options(source: Source) -> list[str]:
    """Gives the parameters that the model's class spells out."""
    import inspect

    with torch.device("meta"):
        model = _call(source, dict(source.options))
    known: dict[str, None] = {}
    for kind in type(model).__mro__[: type(model).__mro__.index(nn.Module)]:
        known.update(dict.fromkeys(inspect.signature(kind).parameters))
    return [name for name in known if name not in RESERVED and name != "self"]
