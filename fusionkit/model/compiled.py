"""Keeps ``torch.compile`` from giving up on a model whose policies change often."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

__all__ = ["forget_compiled"]


def forget_compiled(function: Callable[..., Any]) -> None:
    """Drops what was compiled of a function, so that it is compiled anew when it is next called.

    Every thaw needs a compilation of its own, for training and for evaluation. After eight of
    them ``torch.compile`` would go on without compiling (or, with ``fullgraph=True``, stop), and
    a transformer thaws in more steps than that. Those of earlier policies are not needed again.
    """
    dynamo = sys.modules.get("torch._dynamo.eval_frame")
    reset_code = getattr(dynamo, "reset_code", None)  # none is loaded before the first compilation
    if reset_code is not None and isinstance(function, FunctionType):
        reset_code(function.__code__)
