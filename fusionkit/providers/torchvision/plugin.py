"""What the torchvision provider answers when fusionkit asks for backbones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, TypeAlias

from fusionkit import hookimpl

if TYPE_CHECKING:
    from fusionkit import Backbone

    BackboneFactory: TypeAlias = Callable[..., Backbone]

__all__ = ["TorchvisionModels", "fusionkit_backbones"]


class TorchvisionModels(Mapping[str, "BackboneFactory"]):
    """All classification and video models of torchvision by name; none is built to list them."""

    def __iter__(self) -> Iterator[str]:
        return iter(_names())

    def __len__(self) -> int:
        return len(_names())

    def __contains__(self, name: object) -> bool:
        return name in _names()

    def __getitem__(self, name: str) -> BackboneFactory:
        if name not in _names():
            raise KeyError(name)
        from fusionkit.providers.torchvision.build import build_backbone
        from fusionkit.providers.torchvision.weights import available_weights

        factory = partial(build_backbone, name)
        factory.available_weights = partial(available_weights, name)  # type: ignore[attr-defined]
        return factory


@hookimpl
def fusionkit_backbones() -> Mapping[str, BackboneFactory]:
    """Gives every classification and video model of torchvision by its own name."""
    return TorchvisionModels()


@cache
def _names() -> tuple[str, ...]:
    from torchvision import models

    images: list[str] = models.list_models(module=models)
    videos: list[str] = models.list_models(module=models.video)
    return (*images, *videos)
