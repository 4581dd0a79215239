"""Whether a backbone compiles as one graph, as it declares."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from fusionkit.testing.backbones.keeping.answers import difference
from fusionkit.testing.backbones.keeping.asked import Asked, features_of, quietly
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, check, describe_error
from fusionkit.testing.seed import set_seed
from fusionkit.testing.words import some

__all__ = ["compiles_as_declared"]

NOISE = 1e-4
"""Of the largest value."""


@check("make forward take torch.compile, or set compiles = False", slow=True)
def compiles_as_declared(subject: BackboneSubject) -> Iterator[Finding]:
    """``torch.compile(fullgraph=True)`` takes it in eval and in training, if ``compiles`` says so.

    The graph is run by torch itself, so that only the tracing is asked about.
    """
    backbone, twin = subject.copy(), subject.copy()
    compiled = Asked(backbone, subject.reads)
    plain = Asked(twin, subject.reads)
    x = subject.example()
    with quietly():
        torch.compiler.reset()
        try:
            graph = torch.compile(compiled, fullgraph=True, backend="eager")
            with torch.no_grad():
                got = graph(x)
            trained = _step(graph, compiled, x)
        except Exception as error:
            if backbone.compiles:
                yield Finding(
                    f"torch.compile fails: {describe_error(error)}",
                    "keep what forward does independent of values (.item(), if on a tensor), "
                    "without hooks and caches; or set compiles = False",
                )
            return
        finally:
            torch.compiler.reset()
        if not backbone.compiles:
            yield Finding("compiles is False, but torch.compile takes it", "set compiles = True")
    told = difference(features_of(got), subject.answer, NOISE)
    if told:
        yield Finding(
            f"compiled, in eval mode: {told}",
            "let forward depend on its input, its parameters and its mode, and nothing else",
        )
    wanted = _step(plain, plain, x)
    wrong = [name for name, value in wanted.items() if not _close(trained.get(name), value)]
    if wrong:
        yield Finding(
            f"compiled, a training pass gives other gradients or statistics: {some(wrong)}",
            "change buffers in forward only in place, and only in training mode",
        )


def _step(call: Callable[..., list[Tensor]], module: Asked, x: object) -> dict[str, Tensor]:
    """Gives the gradients and buffers after a training pass from a fixed random state."""
    set_seed(1)
    module.train()
    outputs = call(x)
    read = [value for value in outputs if value.requires_grad]
    if read:
        torch.autograd.backward([value.float().square().mean() for value in read])
    gradients = {n: v.grad for n, v in module.named_parameters() if v.grad is not None}
    return {**gradients, **{name: value.detach() for name, value in module.named_buffers()}}


def _close(ours: Tensor | None, theirs: Tensor) -> bool:
    if ours is None:
        return False
    scale = float(theirs.abs().max()) if theirs.numel() else 0.0
    return torch.allclose(ours.double(), theirs.double(), rtol=0, atol=NOISE * scale + 1e-9)
