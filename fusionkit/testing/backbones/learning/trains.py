"""Whether a backbone can be trained at all."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
from torch import nn

from fusionkit.errors import AssemblyError
from fusionkit.model.anatomy import trunk_of
from fusionkit.model.measure import unread_parameters
from fusionkit.testing.backbones.learning.first_step import first_step, require_training
from fusionkit.testing.backbones.learning.rehearsal import rehearse
from fusionkit.testing.backbones.learning.tensors import answers, changed
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, NotApplicableError, check
from fusionkit.testing.words import some

__all__ = ["nothing_learnable_is_cut_off", "trains", "what_learns_gets_a_gradient"]

TODO = "make forward work in train mode, under a fused model, with a batch of two"


@check(TODO)
def trains(subject: BackboneSubject) -> Iterator[Finding]:
    """A training step works, gives what eval mode gives, and finite gradients."""
    seen = first_step(subject)
    for phrase in seen.structure:
        yield Finding(
            f"in train mode {phrase}",
            "give the same Features in both modes; leave auxiliary outputs out",
        )
    if seen.error:
        if not seen.structure:
            yield Finding(seen.error, TODO)
        return
    if not math.isfinite(seen.loss):
        yield Finding(
            f"the loss of the first step is {seen.loss}",
            "look for a division by zero, a logarithm or a root that train mode alone reaches",
        )
    elif seen.wild:
        yield Finding(
            f"the gradients of {len(seen.wild)} parameters are not finite: {some(seen.wild)}",
            "look for a root, norm or division at zero: its value may be finite, its slope is not",
        )


@check(TODO)
def what_learns_gets_a_gradient(subject: BackboneSubject) -> Iterator[Finding]:
    """What the policy says learns is what gets a gradient and moves, and nothing else is."""
    require_training(subject)
    seen = first_step(subject)
    if not seen.learning:
        raise NotApplicableError("nothing of it can learn")
    if seen.misplaced:
        yield Finding(
            f"an optimizer has {len(seen.misplaced)} parameters not exactly once: "
            f"{some(seen.misplaced)}",
            "name each in one block of one stage",
        )
    if seen.dead:
        yield Finding(
            f"{len(seen.dead)} of {seen.learning} parameters learn by the policy, but get no "
            f"gradient in train mode: {some(seen.dead)}",
            "use them in train mode as in eval mode, without detach(), .data or torch.no_grad(); "
            "leave out what is not used",
        )
    if seen.replaced:
        yield Finding(
            f"forward replaced parameters by others: {some(seen.replaced)}",
            "make parameters in __init__ only; an optimizer moves those that it was given, and "
            "forward must use these",
        )
    elif seen.unmoved:
        yield Finding(
            f"an optimizer's step did not move parameters that have a gradient: "
            f"{some(seen.unmoved)}",
            "keep no copy of them elsewhere; what the optimizer moves must be what forward uses",
        )
    yield from rehearse(subject).gradients


@check("make forward run on the example with all that it declares read")
def nothing_learnable_is_cut_off(subject: BackboneSubject) -> Iterator[Finding]:
    """A gradient reaches every parameter that the answer depends on."""
    try:
        unread = unread_parameters(subject.copy(), subject.reads)
    except AssemblyError as error:
        raise NotApplicableError("its features are not what it declares") from error
    if first_step(subject).replaced:
        raise NotApplicableError("what_learns_gets_a_gradient says what is replaced")
    if not unread:
        return
    x = subject.example()
    twin = subject.copy()
    _shift(trunk_of(twin), unread)
    moved = changed(answers(subject.answer), answers(subject.run(twin, x)))
    if not moved:
        return
    again = changed(answers(subject.answer), answers(subject.run(subject.copy(), x)))
    if again:
        raise NotApplicableError("its answer is not the same twice, so nothing can be told")
    yield Finding(
        f"the answer changes with {len(unread)} parameters that no gradient reaches, so that they "
        f"never learn: {some(sorted(unread))}",
        "compute with them under autograd, in eval mode too: no torch.no_grad(), detach() or "
        ".data on the way to the answer; what is to stay fixed gets requires_grad_(False)",
    )


def _shift(trunk: nn.Module, names: Iterable[str]) -> None:
    with torch.no_grad():
        for name in names:
            value = trunk.get_parameter(name)
            if value.is_floating_point():
                scale = float(value.square().mean().sqrt()) if value.numel() else 0.0
                value.add_(torch.randn_like(value), alpha=0.5 * scale or 0.5)
