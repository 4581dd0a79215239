"""What the timm provider answers when fusionkit asks for backbones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from fusionkit import hookimpl

if TYPE_CHECKING:
    from fusionkit import Backbone

    BackboneFactory: TypeAlias = Callable[..., Backbone]

__all__ = ["TimmModels", "fusionkit_backbones"]


class TimmModels(Mapping[str, "BackboneFactory"]):
    """All of timm's models by name, listed and looked up without building any.

    Listed are the registered architectures. Found are also names with a pretrained tag
    (``resnet50.a1_in1k``), folders (``local-dir:/path``) and hub repositories
    (``hf-hub:owner/name``).
    """

    def __iter__(self) -> Iterator[str]:
        import timm

        return iter(timm.list_models())

    def __len__(self) -> int:
        import timm

        return len(timm.list_models())

    def __contains__(self, name: object) -> bool:
        from fusionkit.providers.timm.names import is_known

        return isinstance(name, str) and is_known(name)

    def __getitem__(self, name: str) -> BackboneFactory:
        from fusionkit.providers.timm.build import build_backbone, build_empty
        from fusionkit.providers.timm.layout import read_layout
        from fusionkit.providers.timm.names import available_weights, refuse_unknown_tag

        if name not in self:
            refuse_unknown_tag(name)
            raise KeyError(name)
        factory = partial(build_backbone, name)
        factory.build_empty = partial(build_empty, name)  # type: ignore[attr-defined]
        factory.available_weights = partial(available_weights, name)  # type: ignore[attr-defined]
        factory.layout = partial(read_layout, name)  # type: ignore[attr-defined]
        return factory


@hookimpl
def fusionkit_backbones() -> Mapping[str, BackboneFactory]:
    """Gives every model of timm by its own name."""
    return TimmModels()
