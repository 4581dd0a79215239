"""Several processes that train one model: replicas in step, or one model in shards.

``wrap_data_parallel`` and ``shard`` are the two ways; what else is here serves both, and does
nothing where there is one process.
"""

from __future__ import annotations

from fusionkit.training.distributed.agree import agree, same_everywhere
from fusionkit.training.distributed.data_parallel import everything_learns, wrap_data_parallel
from fusionkit.training.distributed.gather import (
    gather,
    gather_optimizer,
    gather_weights,
    save_together,
)
from fusionkit.training.distributed.replicas import check_replicas, share_buffers
from fusionkit.training.distributed.scatter import scatter_optimizer, scatter_weights
from fusionkit.training.distributed.shard import shard

__all__ = [
    "agree",
    "check_replicas",
    "everything_learns",
    "gather",
    "gather_optimizer",
    "gather_weights",
    "same_everywhere",
    "save_together",
    "scatter_optimizer",
    "scatter_weights",
    "shard",
    "share_buffers",
    "wrap_data_parallel",
]
