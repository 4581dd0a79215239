"""Whether a backbone can be trained at all."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from fusionkit.backbone.contract import Backbone
from fusionkit.errors import AssemblyError
from fusionkit.features import Reads
from fusionkit.model.anatomy import read_anatomy, trunk_of
from fusionkit.model.measure import unread_parameters
from fusionkit.testing.backbones.learning.first_step import first_step, require_training
from fusionkit.testing.backbones.learning.models import composed, require_composed
from fusionkit.testing.backbones.learning.rehearsal import rehearse
from fusionkit.testing.backbones.learning.tensors import answers, changed
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, NotApplicableError, check
from fusionkit.testing.words import some

__all__ = ["composes", "nothing_learnable_is_cut_off", "trains", "what_learns_gets_a_gradient"]

TODO = "make forward work in train mode, under a fused model, with a batch of two"


@check("do what the message says, so that fusionkit.compose takes it as a branch", on_meta=True)
def composes(subject: BackboneSubject) -> Iterator[Finding]:
    """``fusionkit.compose`` takes it as a branch of a fused model."""
    try:
        read_anatomy(subject.pristine)
    except AssemblyError as error:
        raise NotApplicableError("every_parameter_is_in_one_block says what is wrong") from error
    composed(subject)
    yield from ()


@check(TODO)
def trains(subject: BackboneSubject) -> Iterator[Finding]:
    """A training step works, gives what eval mode gives, and finite gradients."""
    require_composed(subject)
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
    if seen.drawn:
        yield Finding(
            "the backward pass draws random numbers, so that a part that is computed again there "
            "drops other values than in forward, and the gradients are wrong",
            "leave preserve_rng_state of torch.utils.checkpoint.checkpoint at True",
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
    """A gradient reaches every parameter that vector, maps or logits depend on, each by itself."""
    if first_step(subject).replaced:
        raise NotApplicableError("what_learns_gets_a_gradient says what is replaced")
    told: set[str] = set()
    for clause, reads in _readings(subject).items():
        twin = _copy(subject, reads)
        try:
            unread = unread_parameters(twin, reads) - told
        except AssemblyError as error:
            raise NotApplicableError("its features are not what it declares") from error
        if not unread:
            continue
        before = _answers(subject, _copy(subject, reads), reads)
        _shift(trunk_of(twin), unread)
        if not changed(before, _answers(subject, twin, reads)):
            continue
        if changed(before, _answers(subject, _copy(subject, reads), reads)):
            raise NotApplicableError("its answer is not the same twice, so nothing can be told")
        told |= unread
        yield Finding(
            f"when {clause}, the answer changes with {len(unread)} parameters that no gradient "
            f"reaches, so that they never learn: {some(sorted(unread))}",
            "compute with them under autograd, in eval mode too: no torch.no_grad(), detach() or "
            ".data on the way to the answer; what is to stay fixed gets requires_grad_(False)",
        )


def _readings(subject: BackboneSubject) -> dict[str, Reads]:
    """Gives what heads read of it, by a clause that says so."""
    readings = {"the vector is read": Reads(vector=True)}
    if subject.reads.levels:
        readings["all maps are read"] = Reads(maps=subject.reads.levels)
    for level in _without_history(subject):
        readings[f"the map of level {level} is read"] = Reads(maps=(level,))
    try:
        classifies = subject.classifying is not None
    except Exception:  # told by classifier_is_kept_on_request
        classifies = False
    if classifies:
        readings["the logits are read"] = Reads(logits=True)
    return readings


def _without_history(subject: BackboneSubject) -> list[int]:
    """Gives the levels whose maps no gradient enters, though all parameters may learn."""
    backbone = subject.copy()
    for parameter in backbone.parameters():
        parameter.requires_grad_(parameter.is_floating_point() or parameter.is_complex())
    with torch.enable_grad():
        features = backbone(subject.example(), subject.reads)
    return [n for n, value in enumerate(features.maps) if not value.requires_grad]


def _copy(subject: BackboneSubject, reads: Reads) -> Backbone:
    return subject.copy_classifying() if reads.logits else subject.copy()


def _answers(subject: BackboneSubject, backbone: Backbone, reads: Reads) -> dict[str, Tensor]:
    return answers(subject.run(backbone, subject.example(), reads))


def _shift(trunk: nn.Module, names: Iterable[str]) -> None:
    with torch.no_grad():
        for name in names:
            value = trunk.get_parameter(name)
            if value.is_floating_point():
                scale = float(value.square().mean().sqrt()) if value.numel() else 0.0
                value.add_(torch.randn_like(value), alpha=0.5 * scale or 0.5)
