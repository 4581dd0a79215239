"""``shard``: one model over several processes, of which each holds a part (FSDP2)."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn
from torch.utils._pytree import tree_map_only

from fusionkit.checkpoint.config import backbone_of
from fusionkit.errors import DistributedError
from fusionkit.model.anatomy import trunk_of
from fusionkit.model.closed import closed_blocks
from fusionkit.model.fused import FusedModel
from fusionkit.training.distributed.group import require_group
from fusionkit.training.distributed.replicas import check_replicas, is_sharded
from fusionkit.training.distributed.replicate import replicate

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

__all__ = ["hollow_copy", "is_model_sharded", "shard"]

HOLLOW = "hollow_copy"


def shard(
    model: FusedModel, mesh: DeviceMesh | None = None, *, blocks: bool = True, **options: Any
) -> FusedModel:
    """Shards the parameters of a model over all processes, in place (FSDP2).

    Each block of a branch that runs by itself, and the rest of each branch, are gathered when
    they run and let go after it. The head, and parameters that are single numbers, stay whole on
    each process. Policies, ``param_groups`` and ``set_epoch`` stay as they are; what thaws is
    synchronised from its first step on. The model is called itself, also by ``features``,
    ``fuse`` and ``fusionkit.balance.score``. Optimizers are made after this; ``save_together``
    saves, ``gather_optimizer`` and ``scatter_optimizer`` resume. Rank 0's weights are taken.

    Args:
        model: as ``compose`` or ``load`` gave it, on any device.
        mesh: of devices, one or two (hybrid sharding) dimensions; by default all processes, on
            their GPUs where there are any.
        blocks: whether blocks are gathered by themselves, which saves memory; ``False`` gathers
            each branch as a whole, with fewer messages.
        options: those of ``torch.distributed.fsdp.fully_shard``, such as ``mp_policy`` and
            ``offload_policy``.

    Returns:
        The model.

    Raises:
        DistributedError: there is no process group, the processes do not have the same policies,
            the model is sharded already, or has a policy or option that cannot be sharded.
    """
    from torch.distributed.fsdp import fully_shard

    require_group("shard")
    _refuse_unfit(model, options)
    options["reshard_after_forward"] = True  # also of what runs last, so that it can thaw
    check_replicas(model, weights=False)
    mesh = mesh or _all_processes()
    if mesh.size() != distributed.get_world_size():
        raise DistributedError(
            f"shard: the mesh has {mesh.size()} of {distributed.get_world_size()} processes, and "
            "those outside of it would drift apart; leave it out to take all of them"
        )
    device = torch.device(mesh.device_type)
    if device.type == "cuda":
        device = torch.device("cuda", torch.cuda.current_device())
    closed = {
        name: closed_blocks(backbone_of(model, name), part.reads) if blocks else ()
        for name, part in model.parts.items()
    }
    vars(model)[HOLLOW] = _hollow(model)
    _take_from_first(model, device)
    model.prepare.to(device)
    for name in model.parts:
        backbone = backbone_of(model, name)
        numbers = {value for value in backbone.parameters() if value.ndim == 0}
        _move(numbers, device)
        trunk = trunk_of(backbone)
        for module in (*(trunk.get_submodule(path) for path in closed[name]), backbone):
            module.register_forward_hook(_without_views)
            fully_shard(module, mesh=mesh, ignored_params=numbers, **options)
        replicate(backbone, numbers, mesh)
    model.head.to(device)
    replicate(model.head, list(model.head.parameters()), mesh)
    return model.set_epoch(model.epoch)


def is_model_sharded(model: FusedModel) -> bool:
    """Tells whether ``shard`` was called on a model."""
    return any(is_sharded(parameter) for parameter in model.parameters())


def hollow_copy(model: FusedModel) -> FusedModel:
    """Gives a copy of a sharded model as it was before, its parameters without values."""
    copied: FusedModel = copy.deepcopy(vars(model)[HOLLOW])
    return copied


def _refuse_unfit(model: FusedModel, options: dict[str, Any]) -> None:
    if not isinstance(model, FusedModel):
        raise DistributedError(
            f"shard takes a FusedModel, as compose gives it; got {type(model).__name__}. What "
            "wraps it, wraps it afterwards"
        )
    if is_model_sharded(model):
        raise DistributedError("shard: the model is sharded already")
    if options.get("reshard_after_forward", True) is not True:
        raise DistributedError(
            "shard: reshard_after_forward must stay True; parameters that were still gathered "
            "after an evaluation would not thaw"
        )
    for name, branch in model.recipe.branches.items():
        if branch.branch_dropout:
            raise DistributedError(
                f"shard: branch {name!r} has branch_dropout, by which each process would drop "
                "other branches and wait for the rest; leave it out, or use wrap_data_parallel"
            )


def _all_processes() -> DeviceMesh:
    from torch.distributed.device_mesh import init_device_mesh

    on_gpu = torch.cuda.is_available() and distributed.is_nccl_available()
    kind = "cuda" if on_gpu and "nccl" in distributed.get_backend() else "cpu"
    return init_device_mesh(kind, (distributed.get_world_size(),))


@torch.no_grad()
def _move(parameters: Iterable[nn.Parameter], device: torch.device) -> None:
    for parameter in parameters:
        parameter.data = parameter.data.to(device)


def _without_views(_: nn.Module, arguments: tuple[Any, ...], output: Any) -> Any:
    """Copies what a module gives of another tensor's memory.

    FSDP2 hangs its gathering for the backward pass on what a module gives, and loses it where
    that is a view that is changed in place afterwards.
    """
    return tree_map_only(
        Tensor,
        lambda value: value.clone() if value.requires_grad and value._is_view() else value,
        output,
    )


def _hollow(model: FusedModel) -> FusedModel:
    """Gives a copy on the CPU whose parameters have no values."""
    empty = {
        id(value): nn.Parameter(value.detach().to("meta"), requires_grad=value.requires_grad)
        for value in model.parameters()
    }
    hollow: FusedModel = copy.deepcopy(model, dict(empty))
    for module in hollow.modules():
        for leaf, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[leaf] = buffer.cpu()
    return hollow


@torch.no_grad()
def _take_from_first(model: FusedModel, device: torch.device) -> None:
    """Gives all processes the parameters and buffers of rank 0, one at a time over the device."""
    tensors: list[Tensor] = [*model.parameters(), *model.buffers()]
    for tensor in tensors:
        moved = tensor.detach().to(device).contiguous()
        distributed.broadcast(moved, src=0)
        tensor.copy_(moved)
