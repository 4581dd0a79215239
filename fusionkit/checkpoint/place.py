"""Whether a model can be put on a device, and computed with in a type."""

from __future__ import annotations

from typing import Any

import torch

from fusionkit.errors import ConfigError

__all__ = ["check_place", "usable_device"]


def check_place(
    device: str | torch.device | None, dtype: torch.dtype | None
) -> torch.device | None:
    """Gives the device that is asked for, after checking it and the type.

    Raises:
        ConfigError: a model cannot be put there, or not computed with in that type.
    """
    if dtype is not None:
        _check_float(dtype)
    return None if device is None else usable_device(device)


def usable_device(device: str | torch.device) -> torch.device:
    """Gives the device, if values can be put there.

    Raises:
        ConfigError: torch has no such device, or not here, or it is one that holds no values.
    """
    try:
        found = torch.device(device)
        if found.type != "meta":
            return torch.empty(0, device=found).device
    except (AssertionError, NotImplementedError, RuntimeError, TypeError) as error:
        cause = (str(error).splitlines() or [""])[0]
        raise ConfigError(f"device={device!r:.80} cannot be used here: {cause:.200}") from error
    raise ConfigError(
        "device='meta' holds no values, so that nothing can be loaded to it; leave `device` out"
    )


def _check_float(dtype: Any) -> None:
    """Refuses what is no floating-point type to compute with.

    Raises:
        ConfigError: says what is.
    """
    right = isinstance(dtype, torch.dtype) and dtype.is_floating_point and dtype.itemsize > 1
    if not right:
        raise ConfigError(
            "dtype is a floating-point type to compute with, such as torch.bfloat16; got "
            f"{dtype!r:.80}"
        )
