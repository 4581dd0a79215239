"""Whether two branches of one backbone keep to themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from fusionkit.model.fused import FusedModel
from fusionkit.testing.backbones.learning.frozen import require_quiet
from fusionkit.testing.backbones.learning.models import compose
from fusionkit.testing.backbones.learning.tensors import same_bits
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, NotApplicableError, check

__all__ = ["branches_keep_to_themselves"]

SHARED = (
    "keep all state in the instance: no tensor, cache or counter in the class or the module file, "
    "and no global random numbers in eval mode"
)


@check("make two instances of the backbone work in one model")
def branches_keep_to_themselves(subject: BackboneSubject) -> Iterator[Finding]:
    """Of two branches each answers to its own input alone, in whatever order they are written."""
    require_quiet(subject)
    x, y = subject.example(), _other(subject)
    model = compose(subject, branches=("a", "b")).eval()
    answer, vectors = _ask(model, x, y)
    again, same = _ask(model, x, x)
    if not same_bits(same["a"], vectors["a"]):
        yield Finding(
            "a branch's vector changed when another branch was given another input", SHARED
        )
    if not same_bits(same["b"], same["a"]):
        yield Finding("two branches with the same weights and input give other vectors", SHARED)
    if same_bits(again, answer):
        if not _is_noise(x):
            raise NotApplicableError("its example cannot be varied to give another answer")
        yield Finding(
            "the answer is the same to the bit whatever one of the branches is given",
            "make forward read its input; values that all vanish or saturate on the way ask for "
            "another initialisation",
        )
    del model
    swapped, _ = _ask(compose(subject, branches=("b", "a")).eval(), x, y)
    if not same_bits(swapped, answer):
        yield Finding("branches written in another order give another answer", SHARED)


def _ask(model: FusedModel, x: Any, y: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """Gives the fused answer, and each branch's vector."""
    with torch.no_grad():
        features = model.features({"a": x, "b": y})
        vectors = {name: each.vector for name, each in features.items()}
        return model.head(features), {n: v for n, v in vectors.items() if v is not None}


def _other(subject: BackboneSubject) -> Any:
    """Gives an input of other content, its samples in the other order."""

    def turn(value: Any) -> Any:
        return value.flip(0) if isinstance(value, Tensor) and value.ndim else value

    return pytree.tree_map(turn, subject.example(seed=1))


def _is_noise(x: Any) -> bool:
    """Tells inputs of which every other one is really another."""
    return any(
        isinstance(value, Tensor) and value.is_floating_point() for value in pytree.tree_leaves(x)
    )
