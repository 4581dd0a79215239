"""Sets the state from which torch draws, without what that costs where there is one device only."""

from __future__ import annotations

import torch

__all__ = ["set_seed"]


def set_seed(seed: int) -> None:
    """Does what ``torch.manual_seed`` does.

    That notes the call and its whole stack for each kind of accelerator that is not started, for
    ever, which took half of the kit's time. Without any there is the CPU's generator alone.
    """
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)
