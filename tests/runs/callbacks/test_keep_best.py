"""The best model is the one whose validation was better than any before."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from fusionkit.errors import TrainingError

pytest.importorskip("lightning", reason="needs pip install 'torch-fusionkit[train]'")


def keep(monitor):
    from fusionkit.runs.callbacks.best import KeepBest

    saved = []
    return KeepBest(monitor, saved.append), saved


def validate(best, epoch, loss, accuracy):
    metrics = {"val_loss": loss, "val_accuracy": accuracy, "train_loss": 9.0}
    tensors = {name: torch.tensor(value) for name, value in metrics.items()}
    best.on_validation_end(SimpleNamespace(callback_metrics=tensors, current_epoch=epoch), None)


@pytest.mark.parametrize(("monitor", "epochs"), [("val_loss", [0, 2]), ("val_accuracy", [0, 1])])
def test_what_is_better_is_saved_and_of_equals_the_first(monitor, epochs):
    best, saved = keep(monitor)
    for epoch, (loss, accuracy) in enumerate([(1.0, 0.5), (2.0, 0.75), (0.5, 0.75), (0.5, 0.5)]):
        validate(best, epoch, loss, accuracy)
    assert len(saved) == 2
    assert best.epoch == epochs[-1]
    assert set(saved[-1]) == {"val_loss", "val_accuracy"}
    assert best.best == saved[-1][monitor]


def test_a_run_that_goes_on_knows_what_to_beat():
    best, _ = keep("val_loss")
    validate(best, 3, 0.5, 0.5)
    other, saved = keep("val_loss")
    other.load_state_dict(best.state_dict())
    validate(other, 4, 0.6, 0.9)
    assert saved == []
    assert (other.epoch, other.best, other.metrics) == (3, 0.5, best.metrics)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_metric_that_is_no_number_ends_the_run(loss):
    best, saved = keep("val_accuracy")
    with pytest.raises(TrainingError, match=rf"val_loss is {loss} after epoch 3.*lower training"):
        validate(best, 3, loss, 1.0)
    assert saved == []
