"""From the shards of all processes to whole weights and optimizer states on rank 0."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from fusionkit.checkpoint.save import save
from fusionkit.errors import DistributedError, FusionKitError
from fusionkit.model.fused import FusedModel
from fusionkit.processes import broadcast_object, rank
from fusionkit.training.distributed.replicas import is_sharded
from fusionkit.training.distributed.shard import hollow_copy, is_model_sharded

__all__ = ["gather", "gather_optimizer", "gather_weights", "names_of", "save_together"]


def gather(model: FusedModel) -> FusedModel | None:
    """Gives a whole model on the CPU of rank 0, and nothing on the others; all have to call it.

    A model that is not sharded is given back as it is. A sharded one stays sharded: what is
    given is a copy, at the same epoch and in the same mode, to save, export or evaluate.
    """
    if not is_model_sharded(model):
        return model if rank() == 0 else None
    weights = gather_weights(model)
    if weights is None:
        return None
    whole = hollow_copy(model)
    whole.load_state_dict(weights, assign=True)
    return whole.train(model.training).set_epoch(model.epoch, thaws=model.thaws)


def gather_weights(model: FusedModel) -> dict[str, Tensor] | None:
    """Gives the whole ``state_dict`` on the CPU of rank 0, and nothing on the others.

    All processes have to call it. One tensor is gathered at a time; norm statistics are those
    of rank 0. What is given is a copy, of plain tensors.
    """
    whole = {}
    for name, value in model.state_dict().items():
        full = _whole(value)
        if full is not None:
            whole[name] = full
    return whole if rank() == 0 else None


def gather_optimizer(model: FusedModel, optimizer: Optimizer) -> dict[str, Any] | None:
    """Gives the whole state of an optimizer on the CPU of rank 0, and nothing on the others.

    All processes have to call it. The state is plain data and plain tensors by the names of the
    parameters, so that it goes into one file, and into any number of processes again by
    ``scatter_optimizer``::

        {"state": {"head.out.a.weight": {"step": ..., "exp_avg": ...}, ...},
         "groups": [{"name": "head/decay", "lr": ..., "params": ["head.out.a.weight"]}, ...]}

    Raises:
        DistributedError: the optimizer was made of other parameters than the model's, for
            example before it was sharded; or keeps sharded tensors of other shapes.
    """
    names = names_of(model, optimizer)
    state: dict[str, dict[str, Any]] = {}
    for parameter, kept in optimizer.state.items():
        name = names[id(parameter)]
        for key, value in kept.items():
            if isinstance(value, Tensor) and is_sharded(value) and value.shape != parameter.shape:
                raise DistributedError(
                    f"{type(optimizer).__name__} keeps {key!r} of {name!r} in shards of another "
                    "shape than the parameter's, which cannot be put together again; choose "
                    "another optimizer, or wrap_data_parallel"
                )
            state.setdefault(name, {})[key] = _whole(value) if isinstance(value, Tensor) else value
    groups = [
        {**group, "params": [names[id(parameter)] for parameter in group["params"]]}
        for group in optimizer.param_groups
    ]
    return {"state": state, "groups": groups} if rank() == 0 else None


def save_together(model: FusedModel, folder: str | PathLike[str], **options: Any) -> Path:
    """Writes a whole model from rank 0, as ``fusionkit.save`` does; all processes have to call it.

    It returns on all processes when the folder is there, or raises on all.

    Args:
        model: sharded or not; not what wraps it.
        folder: where to, as rank 0 sees it.
        options: those of ``fusionkit.save``.

    Raises:
        DistributedError: rank 0 could not save; says why. Rank 0 itself raises that error.
    """
    whole = gather(model)
    failure: Exception | None = None
    if whole is not None:
        try:
            save(whole, folder, **options)
        except (FusionKitError, OSError) as error:
            failure = error
    told = broadcast_object(failure and f"{type(failure).__name__}: {failure}")
    if failure is not None:
        raise failure
    if told is not None:
        raise DistributedError(f"rank 0 could not save: {told}")
    return Path(folder)


def names_of(model: FusedModel, optimizer: Optimizer) -> Mapping[int, str]:
    """Gives the name of each parameter of an optimizer by its identity.

    Raises:
        DistributedError: one of them is none of the model's.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for group in optimizer.param_groups:
        if any(id(parameter) not in names for parameter in group["params"]):
            raise DistributedError(
                f"the group {group.get('name')!r} of the optimizer holds a parameter that is none "
                "of the model's; make it from model.param_groups(...) after shard(model)"
            )
    return names


def _whole(value: Tensor) -> Tensor | None:
    """Gives a whole copy on the CPU of rank 0; all processes take part where it is sharded."""
    plain = value.detach()
    if is_sharded(plain):
        plain = plain.full_tensor()  # type: ignore[attr-defined]
    return plain.cpu().clone() if rank() == 0 else None
