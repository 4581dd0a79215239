"""Whether parameters can be given from outside: for one call, or after building without data."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import torch

from fusionkit.backbone.contract import Backbone
from fusionkit.testing.backbones.keeping.answers import (
    difference,
    empty_out,
    require_steady,
)
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, NotApplicableError, check
from fusionkit.testing.words import some

__all__ = ["fills_from_meta", "functional_call_works"]


@check("read parameters in forward as attributes of their modules, at each pass")
def functional_call_works(subject: BackboneSubject) -> Iterator[Finding]:
    """``torch.func.functional_call`` runs it on the parameters and buffers that it is given."""
    emptied = subject.copy()
    given = {
        # some kernels round otherwise where a parameter requires a gradient
        name: value.detach().clone().requires_grad_(value.requires_grad)
        for name, value in chain(emptied.named_parameters(), emptied.named_buffers())
    }
    empty_out(emptied)
    with torch.no_grad():
        got = torch.func.functional_call(emptied, given, (subject.example(), subject.reads))
    told = difference(got, subject.answer)
    if told:
        require_steady(subject)
        yield Finding(
            f"called with the parameters of another: {told}",
            "keep no second reference to a parameter: no list, closure or table made in __init__",
        )


@check("take nothing from the values of tensors when it is built", slow=True)
def fills_from_meta(subject: BackboneSubject) -> Iterator[Finding]:
    """Built on the meta device and filled, it answers rightly, or it cannot be run at all.

    Nothing has to be buildable without data; what must not be is a wrong answer.
    """
    try:
        with torch.device("meta"):
            built = subject.build()
    except Exception as error:
        raise NotApplicableError(
            f"it cannot be built without data: {type(error).__name__}: {error!s:.100}"
        ) from error
    assert isinstance(built, Backbone)
    state = {name: value.clone() for name, value in subject.pristine.state_dict().items()}
    built.load_state_dict(state, assign=True)
    left = [n for n, v in chain(built.named_parameters(), built.named_buffers()) if v.is_meta]
    if left:
        raise NotApplicableError(f"no state dict fills {some(left)}, so it is built with data")
    told = difference(subject.run(built.eval(), subject.example()), subject.answer)
    if told:
        require_steady(subject)
        yield Finding(
            f"built on the meta device and filled with load_state_dict(assign=True): {told}",
            "hold what is made in __init__ in buffers, so that a lack of data is noticed",
        )
