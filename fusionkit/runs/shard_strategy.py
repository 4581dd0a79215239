"""``ShardStrategy``: Lightning's FSDP2 with ``fusionkit``'s own sharding and whole checkpoints.

Importing this imports Lightning.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.strategies import ModelParallelStrategy, Strategy
from torch import Tensor
from torch.optim import Optimizer

from fusionkit.model.fused import FusedModel
from fusionkit.training.distributed.gather import gather_optimizer, gather_weights
from fusionkit.training.distributed.group import find_model
from fusionkit.training.distributed.scatter import scatter_optimizer, scatter_weights

__all__ = ["ShardStrategy"]

PREFIX = "model."


class ShardStrategy(ModelParallelStrategy):
    """Shards a ``FusionModule``'s model over all processes; states are saved whole, by rank 0.

    A state is the same folder as without shards, whatever the number of processes, so that
    ``StateCheckpointIO`` writes and checks it.

    Args:
        processes: how many there are, on all machines.
    """

    def __init__(self, processes: int) -> None:
        super().__init__(
            data_parallel_size=processes, tensor_parallel_size=1, save_distributed_checkpoint=False
        )

    @property
    def _sharded(self) -> FusedModel:
        assert self.lightning_module is not None
        return find_model(self.lightning_module, "ShardStrategy")

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Gives all weights on rank 0, and nothing on the others."""
        weights = gather_weights(self._sharded)
        if weights is None:
            return {}
        assert self.lightning_module is not None
        others = _others(self.lightning_module.state_dict())
        return {**others, **{PREFIX + name: value for name, value in weights.items()}}

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Gives the whole state of the optimizer on rank 0, and nothing on the others."""
        plain = getattr(optimizer, "optimizer", optimizer)  # Lightning wraps it
        return gather_optimizer(self._sharded, plain) or {}

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: str | Path, storage_options: Any = None
    ) -> None:
        """Lets rank 0 write it."""
        Strategy.save_checkpoint(self, checkpoint, filepath, storage_options)

    def load_checkpoint(
        self, checkpoint_path: str | Path, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Reads a state and shares its weights and its optimizer's state out."""
        found: dict[str, Any] = self.checkpoint_io.load_checkpoint(checkpoint_path)
        saved: dict[str, Tensor] = _weights(found["state_dict"])
        scatter_weights(
            self._sharded, {key.removeprefix(PREFIX): value for key, value in saved.items()}
        )
        for optimizer, state in zip(self.optimizers, found["optimizer_states"], strict=True):
            scatter_optimizer(self._sharded, optimizer, state)
        return found

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Puts back what is no weight; these are there already."""
        assert self.lightning_module is not None
        weights = _weights(self.lightning_module.state_dict())
        self.lightning_module.load_state_dict({**_others(checkpoint["state_dict"]), **weights})


def _weights(state: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in state.items() if key.startswith(PREFIX)}


def _others(state: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in state.items() if not key.startswith(PREFIX)}
