"""Inputs that are missing, too much, or given in another way than they are read."""

from __future__ import annotations

import pytest
import torch
from odd_toys import branch, build, images

import fusionkit as fk
from fusionkit.model.routing import route


def two():
    return build(
        {"rgb": branch("odd", input="image"), "flow": branch("odd", input="motion", in_channels=2)}
    ).eval()


def test_one_input_goes_to_all_branches_that_read_it():
    x = images()
    assert route(x, {"a": "image", "b": "image"}) == {"a": x, "b": x}
    routed = route({"image": x}, {"a": "image", "b": "image"})
    assert routed["a"] is x
    assert routed["b"] is x


def test_inputs_go_by_the_branchs_own_name_too():
    x, y, z = images(), images(seed=1), images(seed=2)
    routed = route({"a": x, "image": y}, {"a": "image", "b": "image"})
    assert routed["a"] is x
    assert routed["b"] is y
    routed = route({"a": x, "b": z}, {"a": "image", "b": "image"})
    assert routed["b"] is z


def test_a_model_called_by_branch_is_the_model_called_by_input():
    model = two()
    rgb, flow = images(), images(channels=2)
    by_input = model({"image": rgb, "motion": flow})
    assert torch.equal(by_input, model({"flow": flow, "rgb": rgb}))


READS = r"branch 'flow' reads the input 'motion' \(or 'flow', prepared for it alone\), "


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (images(), r"reads 2 inputs: call model\(\{'image': \.\.\., 'motion': \.\.\.\}\)"),
        ({}, READS + "but got nothing; the head 'odd/sum' needs every branch$"),
        ({"image": images()}, READS + "but got 'image'; the head 'odd/sum' needs"),
        (
            {"image": images(), "motin": images(channels=2)},
            READS + "but got 'image', 'motin'; the head",
        ),
        (
            {"image": images(), "motion": images(channels=2), "imagine": images()},
            r"no branch reads the input 'imagine'\. Did you mean 'image'.*inputs are image, motion",
        ),
        (
            {"image": images(3), "motion": images(4, 2)},
            "branch 'rgb' got a batch of 3, but branch 'flow' one of 4",
        ),
    ],
)
def test_inputs_that_do_not_fit_are_refused(given, message):
    with pytest.raises(fk.DataError, match=message):
        two()(given)


def test_batches_of_mappings_are_compared_by_their_first_tensor():
    text = {"ids": torch.zeros(3, 7, dtype=torch.long), "mask": torch.ones(3, 7)}
    sources = {"image": "image", "text": "text"}
    assert route({"image": images(3), "text": text}, sources)["text"] is text
    with pytest.raises(fk.DataError, match="branch 'text' got a batch of 3, but branch 'image'"):
        route({"image": images(4), "text": text}, sources)


def test_what_is_no_tensor_is_passed_on():
    assert route(["a cat", "a dog"], {"text": "text"}) == {"text": ["a cat", "a dog"]}
