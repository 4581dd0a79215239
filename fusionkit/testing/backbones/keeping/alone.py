"""Whether a backbone leaves other backbones alone, and goes when it is no longer needed."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Iterator
from itertools import chain
from typing import Any

from torch import Tensor, nn

from fusionkit.testing.backbones.keeping.another import another
from fusionkit.testing.backbones.keeping.answers import (
    difference,
    held_in,
)
from fusionkit.testing.backbones.keeping.copies import storages
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, NotApplicableError, check
from fusionkit.testing.words import some

__all__ = ["instances_share_nothing", "is_let_go"]


@check("make two calls of the factory give two backbones that know nothing of each other")
def instances_share_nothing(subject: BackboneSubject) -> Iterator[Finding]:
    """Two backbones of one factory share no tensor, and using one leaves the other as it was."""
    wanted = subject.answer
    try:
        other = another(subject)
    except NotApplicableError as error:
        yield Finding(str(error), "build a new one")
        return
    known = storages(subject.pristine)
    shared = [name for address, name in storages(other).items() if address in known]
    if shared:
        yield Finding(
            f"two backbones share memory: {some(shared)}",
            "make parameters and buffers in __init__, none in the module or the class",
        )
    on_classes = sorted({where for part in other.modules() for where in _on_class(type(part))})
    if on_classes:
        yield Finding(
            f"a class holds tensors for all of its instances: {some(on_classes)}",
            "set them on self, as buffers if they are constant",
        )
    x = subject.example()
    told = difference(subject.run(subject.copy(), x), wanted)
    if told and not difference(subject.run(subject.copy(), x), subject.run(subject.copy(), x)):
        yield Finding(
            f"after another backbone was used: {told}",
            "keep no state in globals, classes or default arguments",
        )


@check("keep no reference to the backbone outside of it")
def is_let_go(subject: BackboneSubject) -> Iterator[Finding]:
    """A used backbone that nobody needs any more is freed by Python's garbage collection."""
    parts = {name: weakref.ref(part) for name, part in another(subject).named_modules()}
    subject.spare = None
    if any(part() is not None for part in parts.values()):
        gc.collect()  # takes long, and what is in no circle went without it
    left = next((name for name, part in parts.items() if part() is not None), None)
    if left is not None:
        holders = sorted({_describe_holder(each) for each in gc.get_referrers(parts[left]())})
        yield Finding(
            f"{f'its part {left}' if left else 'it'} stays in memory, held by {some(holders)}",
            "keep no list of instances, no lru_cache on methods, no hook on torch itself; a "
            "weakref.WeakSet does not hold what it lists",
        )


def _on_class(kind: type[nn.Module]) -> Iterator[str]:
    """Gives the attributes of a stranger's class that hold tensors."""
    for each in kind.__mro__:
        if each.__module__.partition(".")[0] in ("torch", "builtins"):
            continue
        for name, value in vars(each).items():
            for _, held in held_in(value, name):
                if isinstance(held, Tensor) or any(chain(held.parameters(), held.buffers())):
                    yield f"{each.__name__}.{name}"
                    break


def _describe_holder(holder: Any) -> str:
    for name, module in list(sys.modules.items()):
        for attribute, value in list(vars(module).items()) if module is not None else ():
            if value is holder:
                return f"{name}.{attribute}"
    return f"a {type(holder).__name__}"
