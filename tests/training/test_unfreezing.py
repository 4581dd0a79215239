"""Branches thaw by epoch and on a plateau, interleaved, and the watch can be resumed."""

from __future__ import annotations

import json

import pytest
import torch
from loops import EPOCHS, LOSSES, build

import fusionkit as fk
from fusionkit.training import Unfreezing


def counts(model: fk.FusedModel) -> tuple[int, int]:
    """How many stages of each branch learn."""
    return tuple(
        len({name.split(".")[0] for name in part.learning(model.epoch)})
        for part in model.parts.values()
    )


def run(unfreezing: Unfreezing, epochs: range) -> list[tuple[int, int]]:
    seen = []
    for epoch in epochs:
        unfreezing.begin_epoch(epoch)
        seen.append(counts(unfreezing.model))
        unfreezing.end_epoch(epoch, {"val_loss": LOSSES[epoch]})
    return seen


def test_branches_thaw_interleaved() -> None:
    unfreezing = Unfreezing(build())
    assert unfreezing.metrics == ("val_loss",)
    assert run(unfreezing, range(EPOCHS)) == [(0, 0), (0, 0), (1, 0), (1, 0), (2, 2), (2, 2)]
    assert unfreezing.model.thaws == {"b": (4,)}


def test_end_epoch_says_who_thaws_next() -> None:
    unfreezing = Unfreezing(build())
    told = [unfreezing.end_epoch(epoch, {"val_loss": torch.tensor(1.0)}) for epoch in range(9)]
    assert told == [(), (), ("b",), (), ("b",), (), (), (), ()]  # two stages at a time, of three
    assert unfreezing.model.thaws == {"b": (3, 5)}


def test_a_thaw_waits_for_the_next_epoch() -> None:
    unfreezing = Unfreezing(build())
    for epoch in range(4):
        unfreezing.begin_epoch(epoch)
        unfreezing.end_epoch(epoch, {"val_loss": 1.0})
        assert counts(unfreezing.model)[1] == (2 if epoch == 3 else 0)


@pytest.mark.parametrize("killed", range(1, EPOCHS))
def test_resumed_between_epochs_it_goes_on_alike(killed: int) -> None:
    whole = Unfreezing(build())
    run(whole, range(EPOCHS))
    first = Unfreezing(build())
    run(first, range(killed))
    second = Unfreezing(build())
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    run(second, range(killed, EPOCHS))
    assert second.state_dict() == whole.state_dict()


def test_without_a_plateau_no_metric_is_needed() -> None:
    still = fk.Branch("toy/tiny", weights=None, freeze=fk.Freeze.all())
    unfreezing = Unfreezing(build(b=still))
    unfreezing.begin_epoch(3)
    assert unfreezing.end_epoch(3) == ()
    assert unfreezing.metrics == ()
    assert unfreezing.model.epoch == 3


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (
            None,
            r"'b' thaws when 'val_loss' stalls, which was not told; the metrics are none",
        ),
        ({"val_los": 1.0}, r"Did you mean 'val_los'"),
        ({"val_loss": float("nan")}, r"it is nan: the training has diverged; go back"),
        ({"val_loss": float("inf")}, r"it is inf: the training has diverged"),
    ],
)
def test_metrics_that_tell_nothing(metrics, message) -> None:
    unfreezing = Unfreezing(build())
    before = unfreezing.state_dict()
    with pytest.raises(fk.PolicyError, match=message):
        unfreezing.end_epoch(0, metrics)
    assert unfreezing.state_dict() == before


@pytest.mark.parametrize("epoch", [0, -1, 1.5, True])
def test_an_epoch_ends_once(epoch) -> None:
    unfreezing = Unfreezing(build())
    unfreezing.end_epoch(0, {"val_loss": 1.0})
    with pytest.raises(fk.PolicyError, match="each epoch once, in ascending order"):
        unfreezing.end_epoch(epoch, {"val_loss": 1.0})


def test_f075_a_state_of_other_policies_is_refused() -> None:
    state = Unfreezing(build()).state_dict()
    other = build(b=fk.Branch("toy/tiny", weights=None))
    with pytest.raises(fk.ResumeError, match=r"saved with \['b'\] thawing on a plateau"):
        Unfreezing(other).load_state_dict(state)


def test_a_second_run_of_a_model_begins_anew() -> None:
    first = Unfreezing(build())
    run(first, range(EPOCHS))
    second = Unfreezing(first.model)
    assert first.model.thaws == {"b": ()}
    assert run(second, range(EPOCHS)) == run(Unfreezing(build()), range(EPOCHS))


def test_thaws_are_saved_with_the_model(tmp_path) -> None:
    from toys import toy_catalog

    unfreezing = Unfreezing(build())
    run(unfreezing, range(EPOCHS))
    fk.save(unfreezing.model, tmp_path / "model")
    loaded = fk.load(tmp_path / "model", catalog=toy_catalog())
    assert loaded.thaws == {"b": (4,)}
    assert counts(loaded) == counts(unfreezing.model)


def test_the_summary_says_what_is_awaited() -> None:
    assert "frozen until val_loss stalls" in str(build().summary())
