"""Whether copies, files and heads built without data give the same answer."""

from __future__ import annotations

import io
from collections.abc import Iterator

import torch
from safetensors.torch import load, save
from torch import Tensor

from fusionkit.testing.check import Check, Finding
from fusionkit.testing.copied import deepcopied, pickled_and_back
from fusionkit.testing.heads.each import check_each, distance, same
from fusionkit.testing.heads.learning import clone_features
from fusionkit.testing.heads.subject import HeadCase, HeadSubject
from fusionkit.testing.words import some

__all__ = ["CHECKS"]


def _differs(actual: Tensor, expected: Tensor, what: str, todo: str) -> Iterator[Finding]:
    if not torch.equal(actual, expected):
        gap = distance(actual, expected)
        yield Finding(f"{what} answers otherwise, by {gap:.2g} of the answer's size", todo)


@check_each("keep nothing of a pass in an attribute, or .detach() it, so that copy.deepcopy works")
def deepcopy(case: HeadCase) -> Iterator[Finding]:
    """A deep copy, made after a pass with gradients, answers the same, and shares no weights."""
    head = case.build()
    if head.trains:
        head.train()(clone_features(case.features(requires_grad=True)))
    head.eval()
    twin = deepcopied(head)
    todo = "keep no lambdas, caches or parts of other objects in attributes"
    expected = case.run(head, case.features())
    yield from _differs(case.run(twin, case.features()), expected, "the copy", todo)
    mine = {value.data_ptr() for value in head.parameters() if value.numel()}
    shared = [name for name, value in twin.named_parameters() if value.data_ptr() in mine]
    if shared:
        yield Finding(f"the copy shares {some(shared)} with the head", todo)


@check_each("keep no lambdas or local functions in attributes; define classes at module level")
def pickled(case: HeadCase) -> Iterator[Finding]:
    """Pickled and unpickled it answers the same, as data loaders and spawned processes need."""
    head = case.build()
    twin = pickled_and_back(head)
    expected = case.run(head, case.features())
    todo = "keep all that forward needs in attributes"
    yield from _differs(case.run(twin, case.features()), expected, "the unpickled head", todo)


@check_each("keep all that is learned in parameters and persistent buffers")
def state_dict(case: HeadCase) -> Iterator[Finding]:
    """The state dict, loaded strictly into a new head of other random numbers, says all."""
    head, fresh = case.build(), case.build(seed=1)
    file = io.BytesIO()
    torch.save(head.state_dict(), file)
    file.seek(0)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    expected = case.run(head, case.features())
    todo = (
        "keep what is drawn or learned in parameters or persistent buffers; a plain attribute or "
        "list is not saved"
    )
    yield from _differs(
        case.run(fresh, case.features()), expected, "a new head with its state dict", todo
    )


@check_each("keep tensors of plain types, each under one name")
def safetensors(case: HeadCase) -> Iterator[Finding]:
    """Its tensors go through a safetensors file to the same bits."""
    head, fresh = case.build(), case.build(seed=1)
    unique = {id(value): name for name, value in reversed(head.state_dict(keep_vars=True).items())}
    state = head.state_dict()
    stored = load(save({name: state[name].contiguous() for name in unique.values()}))
    names = {name: unique[id(value)] for name, value in head.state_dict(keep_vars=True).items()}
    changed = [name for name, value in stored.items() if not same(value, state[name])]
    if changed or fresh.state_dict().keys() != names.keys():
        told = some([*changed, *(fresh.state_dict().keys() ^ names.keys())])
        yield Finding(f"these tensors do not come back: {told}", "keep dense tensors in buffers")
        return
    fresh.load_state_dict({name: stored[kept] for name, kept in names.items()})
    expected = case.run(head, case.features())
    todo = "keep what is drawn or learned in parameters or persistent buffers"
    yield from _differs(
        case.run(fresh, case.features()), expected, "a new head with the file's tensors", todo
    )


@check_each("compute with no numbers in __init__, which a head on the meta device does not have")
def built_on_meta(case: HeadCase) -> Iterator[Finding]:
    """Built without data on the meta device and filled, it answers the same."""
    head = case.build()
    with torch.device("meta"):
        hollow = case.make(dict(case.inputs), num_classes=case.situation.num_classes).eval()
    solid = [name for name, value in hollow.named_parameters() if not value.is_meta]
    if solid:
        yield Finding(
            f"{some(solid)} has data although it was built on the meta device",
            "name no device in __init__; whoever builds the head chooses it",
        )
        return
    hollow.load_state_dict(head.state_dict(), assign=True)
    buffers = dict(head.named_buffers())
    for name, value in list(hollow.named_buffers()):
        if value.is_meta:  # not persistent, so that whoever fills it computes it anew
            owner, _, last = name.rpartition(".")
            setattr(hollow.get_submodule(owner), last, buffers[name].clone())
    expected = case.run(head, case.features())
    todo = "register constant tensors as buffers"
    yield from _differs(case.run(hollow, case.features()), expected, "the filled head", todo)


@check_each("make forward use only the module's own parameters and buffers")
def functional_call(case: HeadCase) -> Iterator[Finding]:
    """``torch.func.functional_call`` with its tensors on another head answers the same."""
    head, other = case.build(), case.build(seed=1)
    state = {name: value.clone() for name, value in head.state_dict(keep_vars=False).items()}
    with torch.no_grad():
        called = torch.func.functional_call(other, state, (case.features(),))
    expected = case.run(head, case.features())
    todo = "look parameters up in forward (self.weight), keep no references to them elsewhere"
    yield from _differs(called, expected, "functional_call", todo)


CHECKS: tuple[Check[HeadSubject], ...] = (
    deepcopy,
    pickled,
    state_dict,
    safetensors,
    built_on_meta,
    functional_call,
)
