"""The two questions that fusionkit asks a plugin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import pluggy

if TYPE_CHECKING:
    from fusionkit.backbone.contract import Backbone
    from fusionkit.head import FusionHead, HeadInput

__all__ = [
    "API_VERSION",
    "BackboneFactory",
    "HeadFactory",
    "fusionkit_backbones",
    "fusionkit_heads",
    "hookimpl",
]

API_VERSION = 1
"""The version of these two hooks; a plugin may set ``fusionkit_api`` to the one it needs."""

hookspec = pluggy.HookspecMarker("fusionkit")
hookimpl = pluggy.HookimplMarker("fusionkit")
"""Marks a plugin's function as the answer to one of the hooks below."""


class BackboneFactory(Protocol):
    """Builds one backbone; unknown options are a ``TypeError``.

    It may have an attribute ``available_weights``, the names of its pretrained weights or a
    function that gives them, for ``fusionkit info`` to show; ``layout``, a function that gives
    the shapes by name of what a stock checkpoint must hold for the trunk, and globs of what else
    it may hold, for ``fusionkit checkpoint match`` to ask many models quickly; and ``build_empty``,
    a factory for ``weights=None`` that leaves without values what a state dict has, for a file
    that will fill all of it, and gives ``None`` where it cannot.

    It may have a keyword ``new_classifier``. True is passed there, to ``build_empty`` too, where
    a branch is to have a classifier (``classifier=True``) and no weights of the provider's: then
    it makes one of ``num_classes`` classes, whatever the stock one has, as a fine-tuned
    checkpoint needs it.
    """

    def __call__(
        self,
        *,
        in_channels: int,
        weights: str | None,
        num_classes: int | None,
        **options: Any,
    ) -> Backbone:
        """Builds the backbone.

        Args:
            in_channels: the channels of its input; pretrained first layers are adapted.
            weights: ``None`` for random initialisation, ``"default"``, or a tag of the
                provider's. The backbone's ``weights`` says what was loaded. Paths are the
                core's business and never come here.
            num_classes: the stock classifier is kept if it has this many classes, and dropped
                if it has not or if this is ``None``; ``Backbone.num_classes`` says which.
            options: the provider's own.
        """


class HeadFactory(Protocol):
    """Builds one head, usually the class itself; unknown options are a ``TypeError``.

    A factory that is not a ``FusionHead`` class sets ``takes_logits = True`` on itself if its
    head can read logits. It may have an attribute ``card``, a ``Card``, for ``fusionkit list``
    and ``fusionkit info`` to show.
    """

    def __call__(
        self, inputs: Mapping[str, HeadInput], *, num_classes: int, **options: Any
    ) -> FusionHead:
        """Builds the head for branches by name, in alphabetical order."""


@hookspec
def fusionkit_backbones() -> Mapping[str, BackboneFactory]:  # type: ignore[empty-body]
    """Gives the plugin's backbones by name, without the plugin's own name before it.

    The mapping may be lazy: iterating over it lists the names, and looking one up gives its
    factory. A name that is not listed may still be found (a hub, a folder).
    """


@hookspec
def fusionkit_heads() -> Mapping[str, HeadFactory]:  # type: ignore[empty-body]
    """Gives the plugin's heads by name, without the plugin's own name before it."""
