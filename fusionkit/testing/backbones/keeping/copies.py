"""Whether a backbone can be copied, after use too."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from fusionkit.backbone.contract import Backbone
from fusionkit.testing.backbones.keeping.another import another
from fusionkit.testing.backbones.keeping.answers import (
    difference,
    empty_out,
    eval_with_gradients,
    require_steady,
    ties,
)
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, NotApplicableError, check
from fusionkit.testing.copied import deepcopied
from fusionkit.testing.perturb import perturb
from fusionkit.testing.words import some

__all__ = ["deepcopy_is_independent", "storages"]

NOISE = 1e-4
"""Of the largest value: attention has another kernel where no gradients are followed."""


@check(
    "keep no tensor with a gradient's history between passes (.detach() it, or leave it out in "
    "__getstate__), so that copy.deepcopy works after use too"
)
def deepcopy_is_independent(subject: BackboneSubject) -> Iterator[Finding]:
    """A deep copy, made after use, answers as the original does, and shares nothing with it."""
    used = another(subject)  # no copy itself, as what a closure holds on to is what was built
    if storages(used).keys() & storages(subject.pristine).keys():
        raise NotApplicableError("it shares memory with another of its factory")
    perturb(used, seed=5)
    used.train()
    used.eval()  # so that tables which are kept in eval mode are worked out again
    x = subject.example()
    wanted = eval_with_gradients(subject, used, x)
    twin = deepcopied(used)
    if twin is used or not isinstance(twin, Backbone):
        yield Finding(
            f"deepcopy gave {'the backbone itself' if twin is used else type(twin).__name__}",
            "leave out __deepcopy__; an nn.Module copies itself",
        )
        return
    known = storages(used)
    shared = [name for address, name in storages(twin).items() if address in known]
    if shared:
        yield Finding(
            f"a deep copy shares memory with its original: {some(shared)}",
            "leave out __deepcopy__, and set tensors as parameters or buffers",
        )
    if ties(twin) != ties(used):
        yield Finding(
            "tied parameters of the original are not tied in its deep copy",
            "leave out __deepcopy__; torch's own keeps ties",
        )
    mode = used.training
    returned = twin.train()
    if returned is not twin or used.training != mode:
        yield Finding(
            "train() of a deep copy acts on its original",
            "override train in the class, with super().train(mode); do not set it on the instance",
        )
        used.eval()
    twin.eval()
    empty_out(used)
    told = difference(subject.run(twin, x), wanted, NOISE)
    if told and not shared:
        require_steady(subject)
        yield Finding(
            f"a deep copy, after its original was emptied: {told}",
            "keep no lambda, closure, bound method or hook with a reference to self; write a "
            "method, or a module of its own",
        )


def storages(module: nn.Module) -> dict[int, str]:
    """Gives the name of each parameter and buffer by where its memory lies."""
    found: dict[int, str] = {}
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        address = value.untyped_storage().data_ptr() if value.layout is torch.strided else 0
        if address:
            found.setdefault(address, name)
    return found
