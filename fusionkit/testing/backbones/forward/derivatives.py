"""Whether gradients say how the answer changes with the parameters."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from fusionkit.testing.backbones.forward.compare import named
from fusionkit.testing.backbones.forward.steadiness import require_steady
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, NotApplicableError, check
from fusionkit.testing.derivatives import untrue_gradients
from fusionkit.testing.inputs import floats_to

__all__ = ["gradients_are_derivatives"]

TOLD = "runs_in_double_precision says what is wrong"


@check("let autograd see all of forward", slow=True)
def gradients_are_derivatives(subject: BackboneSubject) -> Iterator[Finding]:
    """In eval mode, gradients are how vector and maps change with the parameters.

    Two samples are asked: of one, torch's batch norm may give a wrong gradient on a CPU.
    """
    require_steady(subject)
    backbone = subject.copy().double()
    x = floats_to(subject.example(), torch.float64)

    def ask() -> dict[str, Tensor]:
        return named(backbone(x, subject.reads), subject.reads)

    try:
        with torch.no_grad():
            answer = ask()
    except Exception as error:  # a stranger's forward raises what it likes
        raise NotApplicableError(TOLD) from error
    if any(value.dtype != torch.float64 for value in answer.values()):
        raise NotApplicableError(TOLD)
    learning = [value for value in backbone.parameters() if value.requires_grad]
    for name, off in untrue_gradients(ask, [v for v in learning if v.is_floating_point()]):
        yield Finding(
            f"the gradient of the {name} is not how it changes with the parameters: along a "
            f"random direction it is off by {off:.2g} of the change",
            "detach nothing that depends on parameters, not in part either, and give a "
            "torch.autograd.Function the derivative of what it does; if it is meant to differ, as "
            "straight-through rounding is, name this check in expected_failures",
        )
