"""Whether what is wrong is refused, and in words of ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from fusionkit.backbone.contract import Backbone
from fusionkit.errors import ConfigError, DataError
from fusionkit.recipe.plain import copy_plain
from fusionkit.testing.backbones.subject import KEYWORDS, BackboneSubject
from fusionkit.testing.call import call_with, defaults_of
from fusionkit.testing.check import Finding, check
from fusionkit.testing.network import blocked_network

__all__ = ["unknown_options_are_refused", "wrong_inputs_are_refused"]

UNKNOWN = "no_option_is_called_so"


@check("make check_input(x) look at isinstance(x, Tensor) and x.shape first", on_meta=True)
def wrong_inputs_are_refused(subject: BackboneSubject) -> Iterator[Finding]:
    """``check_input`` refuses with ``DataError`` what the trunk cannot take."""
    backbone = subject.copy()
    for told, x in _wrong_inputs(subject):
        try:
            backbone.check_input(x)
        except DataError:
            continue
        except Exception as error:
            yield Finding(
                f"check_input raises {type(error).__name__} on {told}: {str(error)[:200]}",
                "raise fusionkit.DataError, with what is taken and what came",
            )
            continue
        if not _runs_all_the_same(subject, backbone, x):
            yield Finding(
                f"check_input accepts {told}",
                "raise fusionkit.DataError for it; for images, super().check_input(x) does",
            )


@check("let the factory take its own options by name")
def unknown_options_are_refused(subject: BackboneSubject) -> Iterator[Finding]:
    """An option that the factory does not know is a ``TypeError``; others are plain data."""
    yield from _odd_defaults(subject)
    yield from _made_up_weights(subject)
    try:
        with torch.device("meta"):  # should it build after all, it need not fill tensors
            call_with(subject.make, subject.accepts | {UNKNOWN}, {**subject.asked, UNKNOWN: 1})
    except TypeError:  # fusionkit.OptionError is one
        return
    except Exception as error:
        yield Finding(
            f"an unknown option raises {type(error).__name__}: {str(error)[:200]}",
            "raise fusionkit.OptionError, which is a TypeError; did_you_mean names near options",
        )
        return
    yield Finding(
        "an unknown option is taken without a word",
        "write the options out instead of **options, or refuse those that are not known with "
        "fusionkit.OptionError",
    )


def _odd_defaults(subject: BackboneSubject) -> Iterator[Finding]:
    """Tells of options whose default no recipe can hold, so that no recipe can set them."""
    for name, value in defaults_of(subject.make, KEYWORDS).items():
        try:
            copy_plain(value, f"the option {name}")
        except ConfigError:
            yield Finding(
                f"the option {name} has the default {value!r:.80}, which no recipe can hold",
                "take numbers, texts, lists or mappings, such as the name of an activation, or "
                "leave the option out",
            )


def _made_up_weights(subject: BackboneSubject) -> Iterator[Finding]:
    """Asks for weights of a name that there is nowhere."""
    if "weights" not in subject.accepts:
        return
    try:
        with blocked_network(), torch.device("meta"):
            built = call_with(subject.make, subject.accepts, {**subject.asked, "weights": UNKNOWN})
    except Exception:  # refused, in whatever words
        return
    if getattr(built, "weights", None) is not None:
        yield Finding(
            f"asked for weights that there are not, it says it has {built.weights!r:.80}",
            "set self.weights to the name of what was loaded, and only there; raise "
            "fusionkit.ConfigError for a name that is not known",
        )


def _wrong_inputs(subject: BackboneSubject) -> list[tuple[str, Any]]:
    """Gives inputs that no backbone of this kind takes, each with what it is."""
    x = subject.example()
    nothing = [("None", None), ("a list", [1, 2])]
    if not isinstance(x, Tensor):
        return [*nothing, ("a tensor", torch.zeros(2, 3))]
    if not subject.takes_images:
        return [
            *nothing,
            ("a mapping", {"x": x}),
            (f"a tensor of {x.ndim + 2} axes", x[None, None]),
        ]
    return [
        *nothing,
        ("a mapping", {"x": x}),
        ("a single image without a batch", x[0]),
        (f"{x.shape[1] + 1} channels", torch.cat([x, x[:, :1]], 1)),
        ("the channels last", x.movedim(1, -1)),
        ("whole numbers", (x * 50).to(torch.int64)),
        ("bytes", torch.zeros_like(x, dtype=torch.uint8)),
    ]


def _runs_all_the_same(subject: BackboneSubject, backbone: Backbone, x: Any) -> bool:
    """Tells whether whole numbers were accepted since the trunk scales them itself."""
    whole = [value for value in pytree.tree_leaves(x) if isinstance(value, Tensor)]
    if not subject.takes_images or not whole or any(value.is_floating_point() for value in whole):
        return False
    try:
        answer = subject.run(backbone, x)
    except Exception:  # accepted, and not taken: that is what is told
        return False
    return answer.vector is not None and answer.vector.is_floating_point()
