"""Whether a head's gradients say how its answer changes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from fusionkit.testing.check import Check, Finding, NotApplicableError
from fusionkit.testing.derivatives import untrue_gradients
from fusionkit.testing.heads.each import check_each, tensors
from fusionkit.testing.heads.learning import clone_features
from fusionkit.testing.heads.subject import HeadCase, HeadSubject

__all__ = ["CHECKS"]


@check_each("let autograd see all of forward")
def gradients_are_derivatives(case: HeadCase) -> Iterator[Finding]:
    """In eval mode and float64, gradients are how the answer changes with features and weights."""
    head = case.build().double()
    features = pytree.tree_map_only(Tensor, _leaf, case.features())

    def ask() -> dict[str, Tensor]:
        return {"answer": head(clone_features(features))}

    try:
        with torch.no_grad():
            answer = ask()["answer"]
    except Exception as error:  # a stranger's forward raises what it likes
        raise NotApplicableError("it does not run in float64") from error
    if answer.dtype != torch.float64:
        raise NotApplicableError(f"in float64 it gives {answer.dtype}")
    weights = [value for value in head.parameters() if value.requires_grad]
    read = [value for each in features.values() for value in tensors(each)]
    for learning, what in ((weights, "weights"), (read, "features")):
        for _, off in untrue_gradients(ask, learning) if learning else ():
            yield Finding(
                f"the gradient of the answer is not how it changes with the {what}: along a "
                f"random direction it is off by {off:.2g} of the change",
                "detach nothing, not in part either, and give a torch.autograd.Function the "
                "derivative of what it does; if it is meant to differ, name this check in "
                "expected_failures",
            )


def _leaf(value: Tensor) -> Tensor:
    return value.detach().double().requires_grad_()


CHECKS: tuple[Check[HeadSubject], ...] = (gradients_are_derivatives,)
