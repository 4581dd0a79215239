"""Whether a frozen part can be woken behind the model's back."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from fusionkit.errors import PolicyError
from fusionkit.model.modes import minds_its_mode
from fusionkit.testing.backbones.learning.frozen import require_quiet
from fusionkit.testing.backbones.learning.models import frozen_model
from fusionkit.testing.backbones.learning.places import backbone_of
from fusionkit.testing.backbones.learning.steps import on_branch
from fusionkit.testing.backbones.learning.tensors import answers, changed, keep, tensors_of
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, check
from fusionkit.testing.words import some

__all__ = ["modes_by_hand_are_refused"]


@check("make forward depend on nothing that train() of a layer changes, but on its `training`")
def modes_by_hand_are_refused(subject: BackboneSubject) -> Iterator[Finding]:
    """A frozen module that is put into train mode by hand is refused, or does not mind."""
    require_quiet(subject)
    model = frozen_model(subject).train()
    backbone = backbone_of(model)
    for module in backbone.modules():
        module.train()
    x = subject.example()
    try:
        with torch.no_grad():
            model(on_branch(x))
    except PolicyError:
        pass
    else:
        yield Finding(
            "for m in model.modules(): m.train() put frozen parts into train mode, and nothing "
            "refused it",
            "let `training` say which mode a module is in, and nothing else",
        )
        return
    model.train()
    indifferent = [module for module in backbone.modules() if not minds_its_mode(module)]
    before = keep(tensors_of(backbone))
    for module in indifferent:
        module.training = True  # and not train(), which a wrapper may answer to with more
    woken = answers(subject.run(backbone, x))
    moved = changed(answers(subject.answer), woken)
    if moved:  # some kernels round otherwise where a parameter requires a gradient
        still = [subject.copy().requires_grad_(False) for _ in range(2)]
        once, twice = (answers(subject.run(each, x)) for each in still)
        # what is not the same twice is told by another check
        moved = [] if changed(once, twice) else changed(once, woken)
    moved += changed(before, tensors_of(backbone))
    if moved:
        kinds = sorted({type(module).__name__ for module in indifferent})
        yield Finding(
            f"layers of plain types ({some(kinds)}) compute otherwise in train mode, so that "
            f"nobody watches them: {some(moved)} changed",
            "put what depends on the mode into a module class of its own",
        )
