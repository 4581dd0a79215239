"""Stand-ins for costly layers give the shapes and the dependencies of the layers themselves."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionkit.model.sketch import Sketch


def leaf(*shape: int) -> Tensor:
    return torch.zeros(*shape, device="meta", requires_grad=True)


CALLS = {
    "linear": (F.linear, (leaf(2, 5, 4), leaf(6, 4), leaf(6))),
    "linear without bias": (F.linear, (leaf(2, 4), leaf(6, 4))),
    "linear on a vector": (F.linear, (leaf(4), leaf(6, 4), leaf(6))),
    "linear to a scalar": (F.linear, (leaf(2, 4), leaf(4))),
    "layer norm": (F.layer_norm, (leaf(2, 5, 4), (4,), leaf(4), leaf(4))),
    "layer norm, bare": (F.layer_norm, (leaf(2, 5, 4), (4,))),
    "group norm": (F.group_norm, (leaf(2, 4, 3, 3), 2, leaf(4), leaf(4))),
    "batch norm": (
        F.batch_norm,
        (leaf(2, 4, 3, 3), torch.zeros(4).to("meta"), torch.ones(4).to("meta"), leaf(4), leaf(4)),
    ),
    "batch norm of vectors": (
        F.batch_norm,
        (leaf(2, 4), torch.zeros(4).to("meta"), torch.ones(4).to("meta"), leaf(4), None),
    ),
    "relu": (F.relu, (leaf(2, 3),)),
    "gelu": (F.gelu, (leaf(2, 3),)),
    "sum": (torch.add, (leaf(2, 3), leaf(2, 3))),
    "sum by a vector": (torch.add, (leaf(2, 3), leaf(3))),
    "sum of other shapes": (torch.add, (leaf(2, 1), leaf(2, 3))),
    "product": (torch.mul, (leaf(2, 3), leaf(3))),
    "product with a number": (torch.mul, (leaf(2, 3), 2)),
    "product of types": (torch.mul, (leaf(2, 3), leaf(2, 3).double())),
    "product of counts": (torch.mul, (torch.ones(2, 3, dtype=torch.long).to("meta"), 0.5)),
    "attention": (
        F.scaled_dot_product_attention,
        (leaf(2, 3, 5, 4), leaf(2, 3, 7, 4), leaf(2, 3, 7, 6)),
    ),
    "attention with a mask": (
        F.scaled_dot_product_attention,
        (leaf(2, 3, 5, 4), leaf(2, 3, 7, 4), leaf(2, 3, 7, 4), leaf(1, 3, 5, 7)),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_shape_and_dependencies_are_the_layers_own(name):
    call, arguments = CALLS[name]
    with Sketch():
        sketched = call(*arguments)
    real = call(*arguments)
    assert (sketched.shape, sketched.dtype) == (real.shape, real.dtype)
    assert reached(sketched) == reached(real)


def reached(value: Tensor) -> set[int]:
    found, waiting, seen = set(), [value.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.add(id(node.variable))
        waiting += [following for following, _ in node.next_functions]
    return found


def test_grouped_attention_is_left_to_torch():
    with Sketch():
        answer = F.scaled_dot_product_attention(
            leaf(2, 6, 5, 4), leaf(2, 3, 7, 4), leaf(2, 3, 7, 4), enable_gqa=True
        )
    assert answer.shape == (2, 6, 5, 4)


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (F.linear, (leaf(2, 5), leaf(6, 4))),
        (F.linear, (leaf(2, 4), leaf(6, 4), leaf(5))),
        (F.layer_norm, (leaf(2, 5), (4,), leaf(4))),
        (F.batch_norm, (leaf(2, 4), leaf(4).detach(), leaf(4).detach(), leaf(3), None)),
        (F.group_norm, (leaf(2, 5, 3), 2)),
        (F.scaled_dot_product_attention, (leaf(2, 3, 4), leaf(2, 3, 5), leaf(2, 3, 5))),
        (torch.add, (leaf(2, 5), leaf(2, 4))),
    ],
)
def test_what_does_not_fit_fails_as_the_layer_would(call, arguments):
    with Sketch(), pytest.raises(RuntimeError):
        call(*arguments)


def test_an_activation_in_place_is_the_same_object():
    x = leaf(2, 3) + 1
    with Sketch():
        assert F.relu(x, inplace=True) is x


def test_where_there_are_values_they_are_computed():
    torch.manual_seed(0)
    layer, x = nn.Linear(4, 6), torch.randn(2, 4)
    with Sketch():
        answer = layer(x)
    assert torch.equal(answer, layer(x))
