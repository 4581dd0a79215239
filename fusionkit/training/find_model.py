"""Finds the fused model inside of what a trainer was given."""

from __future__ import annotations

from torch import nn

from fusionkit.errors import ConfigError
from fusionkit.model.fused import FusedModel

__all__ = ["find_model"]


def find_model(module: nn.Module, who: str) -> FusedModel:
    """Gives the one ``FusedModel`` that a module is or holds.

    Args:
        module: for example a LightningModule, or a model in a wrapper.
        who: asks, for errors.

    Raises:
        ConfigError: there is none, or more than one.
    """
    found = [each for each in module.modules() if isinstance(each, FusedModel)]
    if len(found) == 1:
        return found[0]
    said = "none" if not found else str(len(found))
    raise ConfigError(
        f"{who} takes a module that holds one model as fusionkit.compose gives it; "
        f"{type(module).__name__} holds {said}. Say which: {who}(model)"
    )
