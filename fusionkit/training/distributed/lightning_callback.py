"""``DistributedPolicy``: Lightning's data-parallel strategies, with policies that change.

Importing this imports Lightning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback
from lightning.pytorch.strategies import DDPStrategy, FSDPStrategy

from fusionkit.errors import DistributedError
from fusionkit.training.distributed.data_parallel import ddp_options, everything_learns, watch
from fusionkit.training.distributed.group import find_model
from fusionkit.training.distributed.replicas import check_replicas, share_buffers
from fusionkit.training.distributed.shard import is_model_sharded

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

__all__ = ["DistributedPolicy"]

WRAP = "configure_ddp"


class DistributedPolicy(Callback):
    """Makes Lightning's ``ddp`` strategies wrap a model so that what thaws is synchronised.

    ``Trainer(strategy="ddp", callbacks=[DistributedPolicy(), ...])``, with any of the ``ddp``
    strategies; with one process it does nothing. When training starts, and whenever it goes on
    from a checkpoint, all processes are checked to hold the same model. To shard one, the
    ``LightningModule`` calls ``shard(self.model)`` in its ``configure_model``, under
    ``strategy=ModelParallelStrategy(data_parallel_size=..., tensor_parallel_size=1)``.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Has the strategy wrap the model while all that ever learns requires gradients."""
        strategy = trainer.strategy
        if isinstance(strategy, FSDPStrategy):
            raise DistributedError(
                "strategy='fsdp' flattens parameters, so that no policy could freeze a part of "
                "them; write strategy=ModelParallelStrategy(), and shard(self.model) in "
                "configure_model"
            )
        if stage == "fit" and isinstance(strategy, DDPStrategy):
            vars(strategy)[WRAP] = lambda: _wrap(strategy)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Makes sure that all processes start with the same model."""
        if trainer.world_size == 1:
            return
        model = find_model(pl_module, "DistributedPolicy")
        shares = getattr(trainer.strategy, "distributed_sampler_kwargs", {}).get("num_replicas")
        if is_model_sharded(model) and shares != trainer.world_size:
            raise DistributedError(
                f"the strategy divides the samples among {shares} processes, but the model is "
                f"sharded over {trainer.world_size}; write ModelParallelStrategy("
                f"data_parallel_size={trainer.world_size}, tensor_parallel_size=1)"
            )
        check_replicas(model)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gives all processes the norm statistics of rank 0, where no wrapper does."""
        model = find_model(pl_module, "DistributedPolicy")
        if is_model_sharded(model):
            share_buffers(model)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Gives the strategy its own way of wrapping back."""
        vars(trainer.strategy).pop(WRAP, None)


def _wrap(strategy: Any) -> None:
    model = find_model(strategy.model, "DistributedPolicy")
    check_replicas(model, weights=False)
    strategy._ddp_kwargs = ddp_options(model, strategy._ddp_kwargs)
    with everything_learns(model):
        type(strategy).configure_ddp(strategy)
        watch(strategy.model)
