"""Whether a factory builds, and does not hand out what it built before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from fusionkit.backbone.contract import Backbone
from fusionkit.testing.backbones.subject import BackboneSubject, shapes_of
from fusionkit.testing.check import Finding, check
from fusionkit.testing.inputs import moved
from fusionkit.testing.registered import tell_left_on_the_cpu, tell_unregistered
from fusionkit.testing.words import some

__all__ = ["each_call_builds_anew", "everything_is_registered"]


@check("make the factory build each time that it is called", on_meta=True)
def each_call_builds_anew(subject: BackboneSubject) -> Iterator[Finding]:
    """Two calls of the factory give two equal backbones that share no module and no tensor."""
    one, two = subject.pristine, subject.build_without_data()
    if one is two:
        yield Finding("two calls give the same backbone", "build a new one at each call, no cache")
        return
    if isinstance(two, Backbone):
        mine = {id(part) for part in _parts(one).values()}
        shared = [name for name, part in _parts(two).items() if id(part) in mine]
        if shared:
            yield Finding(
                f"two backbones share {some(shared)}",
                "make modules and parameters in __init__, never at a module's or a class's top",
            )
        differ = dict(subject.first_shapes.items() ^ shapes_of(two).items())
        if differ:
            yield Finding(
                f"two calls with the same options give other tensors: {some(differ)}",
                "change no default and no option: write `options = dict(options)` before pop()",
            )


@check("register every tensor and module", on_meta=True)
def everything_is_registered(subject: BackboneSubject) -> Iterator[Finding]:
    """Every tensor is a parameter or a buffer, or made where the input is; modules are submodules.

    And no two parameters share memory.
    """
    found = list(tell_unregistered(subject.pristine))
    yield from found or _left_on_the_cpu(subject)


def _left_on_the_cpu(subject: BackboneSubject) -> Iterator[Finding]:
    """Tells of a tensor that stays on the CPU, by a pass on the meta device after one there."""
    if subject.on_meta:  # it would not have run
        return
    backbone, x = subject.copy(), subject.example()
    subject.run(backbone, x)
    yield from tell_left_on_the_cpu(lambda: subject.run(backbone.to("meta"), moved(x, "meta")))


def _parts(module: nn.Module) -> dict[str, Any]:
    return {
        **{name: part for name, part in module.named_modules() if name},
        **dict(module.named_parameters()),
        **dict(module.named_buffers()),
    }
