"""The count sketch of vectors and of whole maps of them."""

from __future__ import annotations

import torch

from fusionkit.heads.parts.count_sketch import CountSketch


def test_components_land_in_their_places_with_their_signs():
    sketch = CountSketch(4, 3)
    sketch.places.copy_(torch.tensor([2, 0, 2, 1]))
    sketch.signs.copy_(torch.tensor([1, -1, -1, 1]))
    assert sketch(torch.tensor([[1.0, 2, 3, 4]])).tolist() == [[-2, 4, -2]]


def test_any_dimensions_come_before_the_components():
    sketch = CountSketch(4, 3)
    x = torch.randn(2, 5, 4)
    assert torch.equal(sketch(x)[1, 3], sketch(x[1, 3][None])[0])


def test_half_precision_is_summed_in_float32():
    sketch = CountSketch(300, 1).to(torch.bfloat16)
    sketch.signs.fill_(1)
    assert sketch(torch.ones(1, 300, dtype=torch.bfloat16)).item() == 300


def test_casting_leaves_places_and_signs():
    sketch = CountSketch(300, 7).half()
    assert sketch.places.dtype == torch.int64
    assert sketch.signs.dtype == torch.int8
    assert "300, width=7" in repr(sketch)
