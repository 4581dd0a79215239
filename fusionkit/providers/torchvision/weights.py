"""What torchvision knows of a model's pretrained weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeAlias

from fusionkit import ConfigError, Preprocessing, did_you_mean

__all__ = ["WeightsEntry", "available_weights", "describe_preprocessing", "find_weights"]

WeightsEntry: TypeAlias = Any  # a member of one of torchvision's weights enums, which are untyped


def available_weights(name: str) -> tuple[str, ...]:
    """Gives the tags of a model's pretrained weights."""
    from torchvision.models import get_model_weights

    return tuple(entry.name for entry in get_model_weights(name))


def find_weights(name: str, tag: str) -> WeightsEntry:
    """Gives the member of a model's weights enum that ``tag`` names.

    Args:
        name: torchvision's name of the model.
        tag: ``"default"``, or a member as ``"IMAGENET1K_V1"`` or in full as
            ``"ResNet50_Weights.IMAGENET1K_V1"``, in any case.

    Raises:
        ConfigError: there are no such weights.
    """
    from torchvision.models import get_model_weights

    enum = get_model_weights(name)
    members = {key.lower(): entry for key, entry in enum.__members__.items()}
    wanted = str(tag).lower().removeprefix(f"{enum.__name__}.".lower())
    if wanted in members:
        return members[wanted]
    tags = [entry.name for entry in enum]
    hint = did_you_mean(str(tag).rpartition(".")[2].upper(), tags) or _listed(tags)
    raise ConfigError(
        f"torchvision/{name} has no weights {tag!r}.{hint} 'default' takes torchvision's "
        "choice, None random ones, and a path those of a safetensors file"
    )


def describe_preprocessing(
    entry: WeightsEntry,
    *,
    frames: int | None = None,
    only_size: tuple[int, int] | None = None,
) -> Preprocessing:
    """Gives how the inputs of some weights were prepared, by torchvision's own description.

    Args:
        entry: the weights.
        frames: how many frames a video network was trained on.
        only_size: the only size that the trunk takes, where it was built for another than
            these weights were: the resize shrinks or grows with it.
    """
    described = entry.transforms()
    crop, resize = list(described.crop_size), list(described.resize_size)
    size = (crop[0], crop[-1])
    preprocessing = Preprocessing(
        size=size,
        mean=tuple(described.mean),
        std=tuple(described.std),
        interpolation=described.interpolation.value,
        resize=resize[0] if len(resize) == 1 else (resize[0], resize[1]),
        frames=frames,
    )
    if only_size is None or only_size == size:
        return preprocessing
    shorter = max(round(min(resize) * min(only_size) / min(size)), *only_size)
    return replace(preprocessing, size=only_size, resize=shorter)


def _listed(tags: list[str]) -> str:
    shown = ", ".join(repr(tag) for tag in tags[:3])
    return f" It has {shown}{', ...' if len(tags) > 3 else ''}."
