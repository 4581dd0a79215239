"""Builds a backbone for a look at its names and shapes, without memory for its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from fusionkit.backbone.contract import Backbone
from fusionkit.catalog import BackboneEntry
from fusionkit.errors import AssemblyError

__all__ = ["build_weightless"]


def build_weightless(entry: BackboneEntry, in_channels: int = 3) -> Backbone:
    """Gives a backbone that has no weights, and whose parameters are on no device.

    Raises:
        AssemblyError: it cannot be built so.
    """
    try:
        with torch.device("meta"):
            return entry.factory(in_channels=in_channels, weights=None, num_classes=None)
    except Exception:
        # Many models compute with numbers while they are built, which needs a device.
        mode = _OnlyParameters()
    try:
        with mode:
            return entry.factory(in_channels=in_channels, weights=None, num_classes=None)
    except Exception as error:  # a factory may raise anything
        raise AssemblyError(
            f"{entry.name} cannot be built without weights: {type(error).__name__}: {error}"
        ) from error


class _OnlyParameters(TorchFunctionMode):
    """Gives memory to all tensors but those made by ``torch.empty``, as layers' parameters are."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Calls the function, with the meta device where it gives uninitialised memory."""
        given = dict(kwargs or {})
        if func is torch.empty and given.get("device") is None:
            given["device"] = "meta"
        return func(*args, **given)
