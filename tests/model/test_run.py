"""An input or a backbone that does not do what it says is named."""

from __future__ import annotations

import pytest
import torch
from odd_toys import branch, build, images

import fusionkit as fk

NAMED = r"branch 'a' \(odd/\w+\) "


@pytest.mark.parametrize(
    ("net", "x", "message"),
    [
        ("odd", images(channels=4), r"takes 3 channels, got 4 .*in_channels=4"),
        ("odd", images()[0], r"'b c h w', got shape \(3, 16, 16\)"),
        ("odd", (images() * 255).to(torch.uint8), "takes floating-point images, got torch.uint8"),
        ("odd", None, "takes a tensor 'b c h w', got NoneType"),
        ("odd", "cat.jpg", "takes a tensor 'b c h w', got str"),
        ("tokens", images(size=20), "takes images of exactly 16 x 16 pixels, got 20 x 20"),
        ("odd", images().double(), r"failed on an input of shape \(4, 3, 16, 16\): RuntimeError"),
        ("vector", torch.zeros(2, 4), r"takes 'b 3', got \(2, 4\)"),
        ("vector", [1, 2], r"failed on an input: AttributeError"),
    ],
)
def test_f018_an_input_that_a_branch_cannot_take_names_branch_and_backbone(net, x, message):
    model = build({"a": net})
    with pytest.raises(fk.DataError, match=NAMED + ".*" + message):
        model(x)


LEVEL = fk.Head("odd/maps", level=0)


@pytest.mark.parametrize(
    ("what", "head", "message"),
    [
        ("tuple", "odd/sum", "gave tuple; its forward must give fusionkit.Features"),
        ("dict", "odd/sum", "gave dict; its forward"),
        ("wide", "odd/sum", r"declares a vector 'b 8', gave \(\d, 16\)"),
        ("map", "odd/sum", r"declares a vector 'b 8', gave \(\d, 8, 1, 1\)"),
        ("none", "odd/sum", "declares a vector 'b 8', gave NoneType"),
        ("no maps", LEVEL, r"declares maps 'b c h w' of \(8,\) channels, gave \[\]"),
        ("wide maps", LEVEL, r"of \(8,\) channels, gave \[\(\d, 16, 1, 1\)\]"),
        ("no logits", "odd/logits", "declares logits 'b 5', gave NoneType"),
    ],
)
@pytest.mark.parametrize("training", [None, True, False])
def test_f019_a_backbone_that_gives_something_else_is_named(what, head, message, training):
    """When it is composed, and later in the mode in which it begins to."""
    pattern = rf"branch 'a' \(odd/gives\):? .*{message}"
    if training is None:
        with pytest.raises(fk.AssemblyError, match=pattern):
            build({"a": branch("gives", options={"what": what})}, head)
        return
    model = build({"a": branch("gives", options={"what": "fine"})}, head)
    model.train(training)(images())
    model.branches["a"].what = what
    with pytest.raises(fk.AssemblyError, match=pattern):
        model(images())


def test_running_out_of_memory_stays_what_it_is():
    model = build({"a": "odd"})

    def fail(*_):
        raise torch.OutOfMemoryError("no memory")

    model.branches["a"].register_forward_pre_hook(fail)
    with pytest.raises(torch.OutOfMemoryError, match="no memory"):
        model(images())
