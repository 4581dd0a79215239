"""Whether there is a backbone at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from torch import nn

from fusionkit.backbone.contract import Backbone
from fusionkit.backbone.depth import Level, Stage
from fusionkit.features import Features
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, check, describe_error
from fusionkit.testing.made import parameters_made, tell_made
from fusionkit.testing.words import some

__all__ = ["builds", "forward_makes_no_weights", "runs"]


@check("make the factory build a fusionkit.Backbone when it is called", first=True, on_meta=True)
def builds(subject: BackboneSubject) -> Iterator[Finding]:
    """The factory gives a ``fusionkit.Backbone`` that declares what the contract asks for."""
    built = subject.build()
    if not isinstance(built, Backbone):
        yield Finding(
            f"the factory gave {type(built).__name__}",
            "return an instance of a subclass of fusionkit.Backbone",
        )
        return
    width = getattr(built, "embed_dim", None)
    if not isinstance(width, int) or isinstance(width, bool) or width < 1:
        yield Finding(f"embed_dim is {width!r}", "set self.embed_dim to the width d of the vector")
    stages = getattr(built, "stages", None)
    if not isinstance(stages, tuple) or not all(isinstance(each, Stage) for each in stages):
        yield Finding(f"stages is {stages!r:.200}", "set self.stages to a tuple of fusionkit.Stage")
    if not isinstance(built.levels, tuple) or not all(isinstance(e, Level) for e in built.levels):
        yield Finding(
            f"levels is {built.levels!r:.200}",
            "set self.levels to a tuple of fusionkit.Level, fine to coarse, or leave it empty",
        )
    size: object = built.fixed_size
    if size is not None and not (isinstance(size, tuple) and list(map(type, size)) == [int, int]):
        yield Finding(
            f"fixed_size is {size!r:.80}",
            "set self.fixed_size to a tuple (height, width), or leave it None",
        )
    if "in_channels" in subject.accepts and built.in_channels != subject.in_channels:
        yield Finding(
            f"in_channels is {built.in_channels}, but {subject.in_channels} was asked for",
            "pass in_channels on to the first layer, and set self.in_channels",
        )
    if compiled := [name or "itself" for name, part in built.named_modules() if _compiled(part)]:
        yield Finding(
            f"it compiles {some(compiled)} when it is built",
            "leave torch.compile to who uses it, who compiles the whole model: what is compiled is "
            "neither copied nor saved as a module is",
        )


@check("make forward(x, reads) work on what example() gives", first=True, on_meta=True)
def runs(subject: BackboneSubject) -> Iterator[Finding]:
    """A forward pass in eval mode gives ``fusionkit.Features``."""
    try:
        features: object = subject.answer
    except Exception as error:  # of whatever kind; building may have caused it
        if not subject.undone:
            raise
        yield Finding(
            f"{describe_error(error)}; building it changes {some(subject.undone)}",
            "change nothing that the whole process shares: give layers dtype= and device=",
        )
        return
    if not isinstance(features, Features):
        yield Finding(
            f"forward gave {type(features).__name__}", "return fusionkit.Features(vector=...)"
        )


@check("make every layer in __init__", first=True, on_meta=True)
def forward_makes_no_weights(subject: BackboneSubject) -> Iterator[Finding]:
    """A forward pass makes and exchanges no weights and no modules, in eval and in train mode."""
    for training in (False, True):
        backbone = subject.copy()
        backbone.train(training)
        parts, saved = _parts(backbone), backbone.state_dict().keys()
        x = subject.example()
        # it may refuse so few samples in train mode; another check tells
        with parameters_made(backbone) as made, suppress(Exception):
            subject.run(backbone, x)
        now = _parts(backbone)
        new = [name for name, part in now.items() if parts.get(name) != part]
        new += backbone.state_dict().keys() - saved - set(new)
        gone = parts.keys() - now.keys()
        if new or gone:
            yield Finding(
                f"in {'train' if training else 'eval'} mode forward made, exchanged or dropped "
                f"{some(sorted({*new, *gone}))}",
                "make it in __init__, as nn.LazyLinear or nn.LazyConv2d where a width is not known "
                "there: an optimizer made before never sees it, and a saved model has no place "
                "for it; change a buffer in place, self.mean.copy_(...)",
            )
            return
        if made:
            yield tell_made(made, f"in {'train' if training else 'eval'} mode ")
            return


def _compiled(module: nn.Module) -> bool:
    """Tells a module that torch compiles, or that holds a function that it does."""
    held = (module._compiled_call_impl, *vars(module).values())
    # torch's own mark on what it compiles; there is no public one for a function
    return any(hasattr(each, "_torchdynamo_orig_callable") for each in held)


def _parts(backbone: Backbone) -> dict[str, int]:
    """Gives which object stands under each name of a module, parameter or saved buffer."""
    saved = backbone.state_dict().keys()
    buffers = backbone.named_buffers(remove_duplicate=False)
    return {
        **{name: id(part) for name, part in buffers if name in saved},
        **{name: id(part) for name, part in backbone.named_modules(remove_duplicate=False)},
        **{name: id(part) for name, part in backbone.named_parameters(remove_duplicate=False)},
    }
