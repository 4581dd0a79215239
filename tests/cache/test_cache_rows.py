"""A row is known by what it is of, and gives back the tensors it was made from."""

from __future__ import annotations

import pytest
import torch

import fusionkit as fk
from fusionkit.cache.rows import flatten, nbytes, restore, row_key, store_as


def test_f091_a_key_is_of_the_sample_and_not_of_its_position():
    before = [row_key(name, "1") for name in ("a", "c")]
    after = [row_key(name, "1") for name in ("a", "b", "c")]
    assert before == [after[0], after[2]]


def test_f089_id_content_and_view_each_make_another_key():
    keys = {row_key("a", "1"), row_key("b", "1"), row_key("a", "2"), row_key("a", "1", "v")}
    keys |= {row_key("a1", ""), row_key("", "a1"), row_key("a", "", "1")}
    assert len(keys) == 7
    assert row_key("a\udcff", "1") == row_key("a\udcff", "1")  # a name of a file that is no text


@pytest.mark.parametrize(
    "features",
    [
        fk.Features(torch.rand(2, 3)),
        fk.Features(maps=(torch.rand(2, 3, 4, 4), torch.rand(2, 5, 2, 2))),
        fk.Features(torch.rand(2, 3), (torch.rand(2, 3, 1, 1),), torch.rand(2, 7)),
        fk.Features(maps=tuple(torch.full((2, 1, 1, 1), float(i)) for i in range(12))),
    ],
)
def test_features_come_back_as_they_were(features):
    back = restore(dict(reversed(flatten(features).items())))
    for one, other in ((features.vector, back.vector), (features.logits, back.logits)):
        assert (one is None) == (other is None)
        assert one is None or torch.equal(one, other)
    assert len(features.maps) == len(back.maps)
    assert all(map(torch.equal, features.maps, back.maps))


def test_nbytes_counts_values():
    assert nbytes([torch.zeros(3), torch.zeros(2, dtype=torch.float64)]) == 28


def test_floats_are_kept_in_the_type_that_is_asked_for():
    tensors = {"vector": torch.rand(2, 3).t(), "ids": torch.arange(2)}
    kept = store_as(tensors, torch.bfloat16)
    assert kept["vector"].dtype == torch.bfloat16
    assert kept["vector"].is_contiguous()
    assert kept["ids"].dtype == torch.int64
    assert store_as(tensors, None)["vector"].dtype == torch.float32


def test_a_value_that_does_not_fit_is_refused_and_infinity_is_kept():
    with pytest.raises(fk.CacheError, match=r"'vector' has values up to 7e\+04, too large for"):
        store_as({"vector": torch.tensor([[7e4]])}, torch.float16)
    kept = store_as({"vector": torch.tensor([[torch.inf, torch.nan]])}, torch.float16)
    assert kept["vector"].isinf()[0, 0]
