"""Whether everything that can learn is given a gradient."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from fusionkit.assembly.unread import OUTPUTS, check_unread
from fusionkit.backbone.contract import Backbone
from fusionkit.errors import AssemblyError
from fusionkit.features import Features, Reads
from fusionkit.model.anatomy import read_anatomy, trunk_of
from fusionkit.model.measure import unread_parameters
from fusionkit.testing.backbones.forward.compare import named
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, NotApplicableError, check
from fusionkit.testing.words import some

__all__ = ["every_parameter_learns"]

TRIES = 3
"""Passes before a parameter counts as left out: whole layers may be dropped by chance."""


@check("make forward and backward run in train mode, and forward differentiable", on_meta=True)
def every_parameter_learns(subject: BackboneSubject) -> Iterator[Finding]:
    """Each parameter gets a gradient in train mode when vector or maps are read; none is dead.

    What ``unread`` says is what a forward pass shows.

    A gradient counts as given when autograd gives one. Single parameters may rightly get zeros
    (a key's bias under softmax, a bias before a batch norm); a stage of nothing but zeros is told.
    """
    backbone = subject.copy().train()
    trainable = [n for n, value in trunk_of(backbone).named_parameters() if value.requires_grad]
    if not trainable:
        raise NotApplicableError("all its parameters are fixed by requires_grad=False")
    readings = _readings(subject)
    yield from _said_wrongly(subject)
    dead = set(trainable)
    for told, reads in readings.items():
        if subject.on_meta:  # nothing is computed there, but what depends on what is known
            dead &= _unread(subject, reads, otherwise=())
            continue
        missing = _without_gradient(subject, backbone, reads)
        yield from _odd_gradients(backbone, told)
        late = _only_in_training(subject, missing, reads)
        if late:
            yield Finding(
                f"when {told}, {some(name for name in trainable if name in late)} get no "
                "gradient in train mode, though the answer in eval mode depends on them",
                "let both modes go through the same layers",
            )
        dead &= missing - late
    if dead:
        yield Finding(
            f"{len(dead)} of {len(trainable)} parameters never get a gradient, whatever is read: "
            f"{some(name for name in trainable if name in dead)}",
            "use them in forward, without detach(), .data or no_grad(); delete them; or, if a "
            "stock checkpoint has them, set requires_grad_(False) in __init__",
        )


def _readings(subject: BackboneSubject) -> dict[str, Reads]:
    """Gives what can be read of it, by a clause that says so."""
    readings = {"the vector is read": Reads(vector=True)}
    if subject.reads.levels:
        readings["all maps are read"] = Reads(maps=subject.reads.levels)
    if subject.pristine.num_classes is not None:
        readings["the logits are read"] = Reads(logits=True)
    return readings


def _said_wrongly(subject: BackboneSubject) -> Iterator[Finding]:
    """Tells where ``unread`` is not what ``compose`` would find."""
    backbone, todo = subject.pristine, "leave `unread` out, and it is found out when needed"
    try:
        check_unread(backbone)
    except AssemblyError as error:
        yield Finding(str(error), todo)
        return
    for output, names in backbone.unread.items():
        if output == "logits" and backbone.num_classes is None:
            yield Finding("`unread` speaks of logits, and it has no classifier", todo)
            continue
        found = _unread(subject, OUTPUTS[output], otherwise=names)
        if read := sorted(set(names) - found):
            yield Finding(f"`unread` has {some(read)}, but the {output} depends on it", todo)
        if left := sorted(found - set(names)):
            yield Finding(f"`unread` lacks {some(left)}: the {output} does not depend on it", todo)


def _only_in_training(subject: BackboneSubject, missing: set[str], reads: Reads) -> set[str]:
    """Gives those without a gradient that the answer in eval mode depends on."""
    return missing - _unread(subject, reads, otherwise=missing) if missing else missing


def _unread(subject: BackboneSubject, reads: Reads, otherwise: Iterable[str]) -> frozenset[str]:
    """Gives what the answer in eval mode does not depend on, as ``compose`` finds it.

    Args:
        subject: what is asked.
        reads: what is read of it.
        otherwise: given where what comes is not as declared, which other checks tell.
    """
    try:
        return unread_parameters(subject.pristine, reads)
    except AssemblyError:
        return frozenset(otherwise)


def _without_gradient(subject: BackboneSubject, backbone: Backbone, reads: Reads) -> set[str]:
    """Gives what can learn and is left without a gradient, in all of some passes."""
    missing: set[str] = set()
    for attempt in range(TRIES):
        backbone.zero_grad(set_to_none=True)
        with torch.enable_grad():
            answer: object = backbone(subject.example(seed=attempt), reads)
            if not isinstance(answer, Features):
                raise NotApplicableError("training_gives_the_same_form says what is wrong")
            read = [value for value in named(answer, reads).values() if value.requires_grad]
            if read:
                torch.autograd.backward([_loss(value) for value in read])
        named_parameters = trunk_of(backbone).named_parameters()
        now = {n for n, value in named_parameters if value.requires_grad and value.grad is None}
        missing = now if attempt == 0 else missing & now
        if not missing or len(missing) == len(list(trunk_of(backbone).parameters())):
            break
    return missing


def _loss(value: Tensor) -> Tensor:
    """Gives a number on which every element of a tensor has a say of its own."""
    value = value.nan_to_num()  # told by vector_is_as_declared
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(value.shape, generator=generator, dtype=torch.float32)
    scale = value.detach().abs().mean().clamp_min(torch.finfo(value.dtype).tiny)
    return (value / scale * weights.to(value)).mean()


def _odd_gradients(backbone: Backbone, told: str) -> Iterator[Finding]:
    parameters = dict(trunk_of(backbone).named_parameters())
    gradients = {n: value.grad for n, value in parameters.items() if value.grad is not None}
    infinite = [name for name, grad in gradients.items() if not bool(grad.isfinite().all())]
    if infinite:
        yield Finding(
            f"when {told}, gradients of {some(infinite)} are not finite",
            "add an epsilon where forward divides, or takes a root or a logarithm",
        )
    by_stage: dict[int, list[str]] = {}
    try:
        anatomy = read_anatomy(backbone)
    except AssemblyError:  # told by every_parameter_is_in_one_block
        return
    for slot in anatomy.slots:
        if slot.name in gradients:
            by_stage.setdefault(slot.stage, []).append(slot.name)
    for stage, names in by_stage.items():
        if not any(bool(gradients[name].any()) for name in names):
            yield Finding(
                f"when {told}, all gradients in stage {anatomy.stages[stage]!r} are zero",
                "look for round(), sign(), argmax() or a product with zero in forward",
            )
