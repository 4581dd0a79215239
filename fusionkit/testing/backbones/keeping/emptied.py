"""A provider whose every backbone is the subject with nothing in it, to be filled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fusionkit.backbone.contract import Backbone
from fusionkit.catalog import Catalog
from fusionkit.head import FusionHead
from fusionkit.hookspecs import hookimpl
from fusionkit.testing.backbones.keeping.answers import empty_out
from fusionkit.testing.backbones.offer import LinearHead
from fusionkit.testing.backbones.subject import BackboneSubject

__all__ = ["EmptiedProvider"]


class EmptiedProvider:
    """Gives, under any name, copies of the subject whose saved tensors are NaN.

    Whatever a file does not fill shows in the answer.

    Attributes:
        asked_for: the weights that were asked for at each call.
    """

    def __init__(self, subject: BackboneSubject) -> None:
        self.subject = subject
        self.asked_for: list[str | None] = []

    def make_catalog(self) -> Catalog:
        """Gives a catalog in which it is the plugin ``subject``.

        No property: the oldest pluggy reads all attributes of a plugin that it is given.
        """
        return Catalog().with_plugin("subject", self)

    def build(
        self, *, in_channels: int, weights: str | None, num_classes: int | None, **options: Any
    ) -> Backbone:
        """Gives one, whatever is asked for."""
        self.asked_for.append(weights)
        backbone = self.subject.copy()
        empty_out(backbone)
        return backbone

    @hookimpl
    def fusionkit_backbones(self) -> Mapping[str, Callable[..., Backbone]]:
        """Gives the same factory under every name."""
        return _AnyName({"it": self.build})

    @hookimpl
    def fusionkit_heads(self) -> Mapping[str, Callable[..., FusionHead]]:
        """Gives the head that the subject is composed with."""
        return {"linear": LinearHead}


class _AnyName(dict[str, Callable[..., Backbone]]):
    """Answers to every name, as ``Backbone.rebuild`` may have another than the branch."""

    def __missing__(self, name: str) -> Callable[..., Backbone]:
        return self["it"]
