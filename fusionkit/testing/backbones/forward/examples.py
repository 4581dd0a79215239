"""Whether ``example()`` gives what the kit, export and measuring rely on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, check

__all__ = ["example_is_accepted_and_fixed"]


@check("make example(batch) give an input that check_input accepts", on_meta=True)
def example_is_accepted_and_fixed(subject: BackboneSubject) -> Iterator[Finding]:
    """``example`` gives an accepted input of the batch asked for, on the CPU, always the same."""
    backbone = subject.copy()
    before = torch.get_rng_state()
    one, again = backbone.example(3), backbone.example(3)
    if not torch.equal(before, torch.get_rng_state()):
        yield Finding(
            "example() draws from torch's global random state",
            "draw from torch.Generator().manual_seed(0)",
        )
    backbone.check_input(one)
    mine, others = _tensors(one), _tensors(again)
    if not mine:
        yield Finding(f"example() gives {type(one).__name__} without a tensor", "give tensors")
    if len(mine) != len(others) or not all(map(_alike, mine, others)):
        yield Finding(
            "example() gives another input at each call",
            "draw from torch.Generator().manual_seed(0)",
        )
    wrong = [tuple(value.shape) for value in mine if not value.ndim or len(value) != 3]
    if wrong:
        yield Finding(
            f"example(3) gives tensors of {wrong}", "make the first axis of each as long as `batch`"
        )
    devices = {str(value.device) for value in mine if value.device.type != "cpu"}
    if devices:
        yield Finding(f"example() is on {sorted(devices)}", "leave it on the CPU")


def _tensors(x: Any) -> list[Tensor]:
    return [value for value in pytree.tree_leaves(x) if isinstance(value, Tensor)]


def _alike(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other)
