"""Where a model is run: on a GPU if there is one, or where one is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fusionkit.cache.compute import device_of
from fusionkit.checkpoint.place import usable_device
from fusionkit.model.fused import FusedModel

__all__ = ["AUTO", "choose_device", "placed", "training_device"]

AUTO = "auto"


def choose_device(device: str | torch.device, model: FusedModel) -> torch.device:
    """Gives the device that one is told; of ``"auto"`` the model's own, but for the CPU a GPU.

    Raises:
        ConfigError: there is no such device here.
    """
    if device != AUTO:
        return usable_device(device)
    here = device_of(model)
    return torch.device("cuda") if here.type == "cpu" and torch.cuda.is_available() else here


def training_device(accelerator: str) -> torch.device:
    """Gives where the first process of a run trains; the CPU too where Lightning knows another."""
    gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return torch.device("cuda" if gpu else "cpu")


@contextmanager
def placed(model: FusedModel, device: torch.device) -> Iterator[FusedModel]:
    """Lets a model lie on a device within the block; afterwards it is where it was."""
    before = device_of(model)
    try:
        yield model.to(device)
    finally:
        model.to(before)
