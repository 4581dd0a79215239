"""What has to be there where processes train together: their group, and the model."""

from __future__ import annotations

import torch
from torch import nn

from fusionkit.errors import DistributedError
from fusionkit.model.fused import FusedModel
from fusionkit.processes import in_group

__all__ = ["find_model", "require_group"]


def require_group(caller: str) -> None:
    """Refuses to go on where no process group was made.

    Raises:
        DistributedError: says how one is made.
    """
    if not in_group():
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        raise DistributedError(
            f"{caller}: there is no process group; start the processes with torchrun, and call "
            f"torch.distributed.init_process_group({backend!r}) first"
        )


def find_model(module: nn.Module, caller: str) -> FusedModel:
    """Gives the one ``FusedModel`` that a module is or holds.

    Raises:
        DistributedError: it holds none, or several.
    """
    found = [each for each in module.modules() if isinstance(each, FusedModel)]
    if len(found) != 1:
        raise DistributedError(
            f"{caller} takes a FusedModel, or a module with one inside; this "
            f"{type(module).__name__} has {len(found) or 'none'}"
        )
    return found[0]
