"""Whether a backbone exports with a batch of any size, as it declares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from fusionkit.backbone.contract import Backbone
from fusionkit.features import Features
from fusionkit.testing.backbones.keeping.answers import difference
from fusionkit.testing.backbones.keeping.asked import Asked, features_of, quietly
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, check, describe_error
from fusionkit.testing.words import some

__all__ = ["exports_as_declared"]

BATCHES = (1, 2, 3)
NOISE = 1e-4
"""Of the largest value."""


@check("make forward take torch.export, or set exports = False", slow=True)
def exports_as_declared(subject: BackboneSubject) -> Iterator[Finding]:
    """``torch.export`` takes it in eval mode with a batch of any size, if ``exports`` says so."""
    backbone = subject.copy()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    x = subject.example()
    wanted = {batch: subject.run(backbone, subject.example(batch)) for batch in BATCHES}
    backbone = subject.copy()
    with quietly(), torch.no_grad():
        try:
            program = torch.export.export(
                Asked(backbone, subject.reads), (x,), dynamic_shapes=(_any_batch(x),)
            ).module()
            got = {batch: features_of(program(subject.example(batch))) for batch in BATCHES}
        except Exception as error:
            if backbone.exports:
                yield Finding(
                    f"torch.export fails: {describe_error(error)}",
                    "write x.shape[0] for len(x), and keep what forward does independent of "
                    "values (.item(), if on a tensor); or set exports = False",
                )
            return
    if not backbone.exports:
        yield Finding("exports is False, but torch.export takes it", "set exports = True")
    for batch in BATCHES:
        told = difference(got[batch], wanted[batch], NOISE)
        if told:
            yield Finding(
                f"exported, with a batch of {batch}: {told}",
                "let forward depend on its input and its parameters, and nothing else",
            )
    after = backbone.state_dict()
    changed = [name for name, value in before.items() if not torch.equal(value, after[name])]
    told = some(changed) or _difference_now(subject, backbone, wanted[2])
    if told:
        yield Finding(
            f"it is no longer what it was before it was exported: {told}",
            "assign no tensor to an attribute in forward",
        )


def _difference_now(subject: BackboneSubject, backbone: Backbone, wanted: Features) -> str:
    """Says what became of the answer of a backbone that was exported."""
    try:
        with quietly():
            return difference(subject.run(backbone, subject.example()), wanted)
    except Exception as error:  # an attribute that was traced is no tensor that can be used
        return describe_error(error)


def _any_batch(x: Any) -> Any:
    return pytree.tree_map_only(Tensor, lambda _: {0: torch.export.Dim.DYNAMIC}, x)
