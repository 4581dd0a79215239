"""``wrap_data_parallel``: replicas that stay in step whatever freezes and thaws."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from fusionkit.checkpoint.config import backbone_of
from fusionkit.errors import DistributedError
from fusionkit.model.anatomy import trunk_of
from fusionkit.model.fused import FusedModel
from fusionkit.training.distributed.group import find_model, require_group
from fusionkit.training.distributed.replicas import check_replicas

__all__ = ["ddp_options", "everything_learns", "learning_changes", "watch", "wrap_data_parallel"]


def wrap_data_parallel(module: nn.Module, **options: Any) -> DistributedDataParallel:
    """Wraps a model for data parallelism, so that what thaws later is synchronised as well.

    torch's wrapper only synchronises what requires a gradient when it wraps: a branch that is
    frozen then and thaws later would drift apart between the processes, without an error. Here
    all that will ever learn requires gradients while it is wrapped, and is frozen again after.

    The wrapper is called in place of the model; ``set_epoch``, ``param_groups`` and all else are
    called on the model as before. The weights of rank 0 go to all processes.

    Args:
        module: a FusedModel on its device, or a module with one inside, such as a
            ``ScoredModel``.
        options: those of ``torch.nn.parallel.DistributedDataParallel``. Without
            ``device_ids`` they follow from the model's device; ``find_unused_parameters`` is set
            where what learns changes, and costs a walk through the graph in each step.

    Raises:
        DistributedError: there is no process group, nothing ever learns, the processes do not
            have the same policies, or an option cannot go with policies that change.
    """
    require_group("wrap_data_parallel")
    model = find_model(module, "wrap_data_parallel")
    check_replicas(model, weights=False)
    options = ddp_options(model, options)
    device = next((each.device for each in module.parameters()), None)
    if device is not None and device.type == "cuda":
        options.setdefault("device_ids", [device.index])
    with everything_learns(model):
        return watch(DistributedDataParallel(module, **options))


@contextmanager
def everything_learns(model: FusedModel) -> Iterator[None]:
    """Lets all that will ever learn require gradients meanwhile, for a wrapper to see.

    Afterwards the policies hold again, as ``model.set_epoch(model.epoch)`` says them.

    Raises:
        DistributedError: nothing ever learns, so that there is nothing to synchronise.
    """
    for name, part in model.parts.items():
        ever = part.ever_learning()
        for path, parameter in trunk_of(backbone_of(model, name)).named_parameters():
            parameter.requires_grad_(path in ever)
    try:
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise DistributedError(
                "no parameter ever learns, so there is nothing to synchronise: all branches are "
                "frozen for good, and in the head nothing learns; each process can run the model "
                "as it is"
            )
        yield
    finally:
        model.set_epoch(model.epoch)


def learning_changes(model: FusedModel) -> bool:
    """Tells whether some parameters that learn are at times not part of a step."""
    drops = any(branch.branch_dropout for branch in model.recipe.branches.values())
    changes = any(part.learning(0) != part.ever_learning() for part in model.parts.values())
    return drops or changes


def ddp_options(model: FusedModel, options: dict[str, Any]) -> dict[str, Any]:
    """Gives options for ``DistributedDataParallel`` that go with the model's policies.

    Raises:
        DistributedError: a given option does not.
    """
    if not learning_changes(model):
        return dict(options)
    if options.get("static_graph"):
        raise DistributedError(
            "static_graph=True cannot go with policies by which what learns changes from step "
            "to step; leave it out"
        )
    if options.get("find_unused_parameters") is False:
        raise DistributedError(
            "find_unused_parameters=False cannot go with policies by which what learns changes: "
            "a step without a frozen branch would never end; leave it out"
        )
    return {**options, "find_unused_parameters": True}


def watch(wrapped: DistributedDataParallel) -> DistributedDataParallel:
    """Makes each forward pass refuse parameters that the wrapper would not synchronise.

    These are such as were put in the place of others after the wrap (``load_state_dict`` with
    ``assign=True``), and such as did not require a gradient when it wrapped, but do now.

    Args:
        wrapped: while all that ever learns still requires gradients.
    """
    module = wrapped.module
    known = [
        (f"{path}.{leaf}" if path else leaf, each, leaf, parameter, parameter.requires_grad)
        for path, each in module.named_modules()
        for leaf, parameter in each._parameters.items()
        if parameter is not None
    ]

    def refuse(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        for name, each, leaf, then, synchronised in known:
            now: Tensor | None = each._parameters.get(leaf)
            if now is not then:
                raise DistributedError(
                    f"{name!r} was exchanged after the model was wrapped, so that its gradients "
                    "would not be synchronised; load weights with load_state_dict without "
                    "assign=True (or fusionkit.load_weights), or before wrapping"
                )
            if now.requires_grad and not synchronised:
                raise DistributedError(
                    f"{name!r} did not require a gradient when the model was wrapped, so that "
                    "its gradients would not be synchronised; set it before wrapping"
                )

    wrapped.register_forward_pre_hook(refuse)
    return wrapped
