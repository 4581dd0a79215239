"""One process alone is the first of one; several tell each other what they have."""

from __future__ import annotations

import pytest
from torch import distributed

from fusionkit.processes import broadcast_object, in_group, rank, tell_all, world


def test_one_process_alone_is_the_first_of_one():
    assert not in_group()
    assert (rank(), world()) == (0, 1)
    assert tell_all({"a": 1}) == [{"a": 1}]
    assert broadcast_object("x") == "x"


@pytest.fixture
def second_of_two(monkeypatch):
    def gather(told, value):
        told[:] = ["first", value]

    def broadcast(box, src):
        assert (box, src) == ([None], 0), "only rank 0 has something to tell"
        box[0] = "first"

    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(distributed, "all_gather_object", gather)
    monkeypatch.setattr(distributed, "broadcast_object_list", broadcast)


@pytest.mark.usefixtures("second_of_two")
def test_several_tell_each_other():
    assert in_group()
    assert (rank(), world()) == (1, 2)
    assert tell_all("second") == ["first", "second"]
    assert broadcast_object("second") == "first"
