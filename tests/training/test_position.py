from pathlib import Path

import pytest

from fusionkit.errors import ConfigError
from fusionkit.training import Position, Resumed


def test_an_epoch_that_was_cut_off_begins_where_it_was():
    at = Position(epoch=2, batch=7, step=31)
    assert [at.first_batch(epoch) for epoch in (2, 3)] == [7, 0]


@pytest.mark.parametrize(
    ("options", "said"),
    [({"epoch": -1}, "epoch"), ({"batch": 1.0}, "batch"), ({"step": True}, "step")],
)
def test_what_is_no_count_is_refused(options, said):
    with pytest.raises(ConfigError, match=f"Position: {said} is a whole number, zero or more"):
        Position(**options)


def test_f076_what_a_run_goes_on_from_is_said():
    path = Path("runs/pets/step-00000031")
    at = Position(2, 7, 31)
    assert str(Resumed()) == "a new run"
    assert str(Resumed(at, path=path)) == "runs/pets goes on at epoch 2, batch 7, step 31"
    assert str(Resumed(at, path=path, finished=True)) == (
        "runs/pets is finished already: epoch 2, batch 7, step 31; there is nothing to do"
    )
    assert str(Resumed(at, path=path, inexact=("a", "b"))).endswith(
        "step 31; not as before: a; not as before: b"
    )
