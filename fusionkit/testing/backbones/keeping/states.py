"""Whether a state dict holds all that matters, and replaces all that there was."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import torch
from torch import nn

from fusionkit.tensors.state import state_problems
from fusionkit.testing.backbones.keeping.another import build_anew
from fusionkit.testing.backbones.keeping.answers import (
    difference,
    exercise,
    held_in,
    require_steady,
)
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, check
from fusionkit.testing.perturb import perturb
from fusionkit.testing.seed import draws_otherwise
from fusionkit.testing.words import some

__all__ = ["loading_replaces_everything", "state_dict_is_complete", "state_fits_a_file"]

SEED = 77
REGISTER = (
    "hold parameters in nn.Parameter, nn.ParameterList or nn.ModuleList attributes, and constants "
    "that are drawn at random in a persistent buffer, so that the state dict has them"
)


@check("let load_state_dict(state_dict()) work, without an override of either")
def state_dict_is_complete(subject: BackboneSubject) -> Iterator[Finding]:
    """A backbone from another seed that loads the state dict gives the same answer."""
    pristine = subject.pristine
    state = pristine.state_dict()
    lacking = [name for name in _names(pristine) if name not in state]
    if lacking:
        yield Finding(
            f"state_dict() lacks {some(lacking)}",
            "do not override state_dict; what no checkpoint holds is a non-persistent buffer",
        )
        return
    if subject.spare is not None:  # one that was trained will do, as long as it answers rightly
        subject.spare.load_state_dict(state)
        if not difference(subject.run(subject.spare, subject.example()), subject.answer):
            return
    with draws_otherwise(SEED):
        fresh = build_anew(subject)
    fresh.load_state_dict(state)
    told = difference(subject.run(fresh, subject.example()), subject.answer)
    if told:
        require_steady(subject)
        beside = [*_unregistered(pristine), *_other_buffers(pristine, fresh)]
        seen = f"; the state dict does not hold {some(beside)}" if beside else ""
        yield Finding(f"built from another seed, with the same state dict: {told}{seen}", REGISTER)


@check("let load_state_dict replace the values of a backbone that has run")
def loading_replaces_everything(subject: BackboneSubject) -> Iterator[Finding]:
    """Loading into a backbone that was trained and has run in eval mode leaves nothing of it."""
    used = subject.copy()
    perturb(used, seed=9)
    exercise(subject, used)
    used.load_state_dict(subject.pristine.state_dict())
    told = difference(subject.run(used, subject.example()), subject.answer)
    if told:
        require_steady(subject)
        yield Finding(
            f"loaded after a training pass and an eval pass: {told}",
            "drop what is worked out from parameters when they are loaded, with "
            "register_load_state_dict_post_hook, and keep moving statistics in persistent buffers",
        )


@check("hold the state in parameters and buffers")
def state_fits_a_file(subject: BackboneSubject) -> Iterator[Finding]:
    """A safetensors file can hold every tensor of the state dict and give it back."""
    for name, problem in state_problems(subject.pristine).items():
        yield Finding(
            f"{name!r} {problem}",
            "keep it in a dense buffer or parameter of a type that safetensors has, without "
            "get_extra_state or state dict hooks; complex128 as two real tensors",
        )


def _names(module: nn.Module) -> Iterator[str]:
    """Gives the names that torch's own state dict would have."""
    for path, part in module.named_modules(remove_duplicate=False):
        before = f"{path}." if path else ""
        kept = part._buffers.keys() - part._non_persistent_buffers_set
        for name in (*part._parameters, *(name for name in part._buffers if name in kept)):
            if getattr(part, name, None) is not None:
                yield before + name


def _unregistered(module: nn.Module) -> Iterator[str]:
    """Gives the places of learnable tensors and modules that are attributes like any other."""
    known = {id(value) for value in chain(module.parameters(), module.buffers(), module.modules())}
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            if name in ("_parameters", "_buffers", "_modules"):
                continue
            for where, each in held_in(value, f"{path}.{name}" if path else name):
                learns = isinstance(each, nn.Module) or each.requires_grad
                if learns and id(each) not in known:
                    yield f"{where} ({type(each).__name__})"


def _other_buffers(one: nn.Module, other: nn.Module) -> Iterator[str]:
    """Gives the buffers that no state dict holds and that differ in two backbones."""
    saved = one.state_dict().keys()
    theirs = dict(other.named_buffers())
    for name, value in one.named_buffers():
        if name not in saved and name in theirs and not torch.equal(value, theirs[name]):
            yield f"{name} (a non-persistent buffer)"
