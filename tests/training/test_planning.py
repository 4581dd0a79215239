"""The plan says what the run does: its rates are those that the scheduler writes."""

from __future__ import annotations

import pytest
import torch
from loops import EPOCHS, LOSSES, STEPS, build

import fusionkit as fk
from fusionkit.training import Unfreezing, plan
from fusionkit.training.planning import PlanRow


@pytest.mark.parametrize("shape", ["constant", "cosine", "one_cycle", "linear"])
def test_it_is_what_the_scheduler_does(shape: str) -> None:
    still = fk.Branch("toy/tiny", weights=None, freeze=fk.Freeze.until("body"), lr=fk.LR(0.3))
    model = build(b=still)
    planned = {
        (row.branch, row.stage): row.rates
        for row in plan(model, EPOCHS, lr=1e-2, shape=shape, steps_per_epoch=STEPS).rows
    }
    optimizer = torch.optim.AdamW(model.param_groups(lr=1e-2))
    schedule = model.lr_scheduler(
        optimizer, shape, total_steps=EPOCHS * STEPS, steps_per_epoch=STEPS
    )
    for epoch in range(EPOCHS):
        model.set_epoch(epoch)
        for group in optimizer.param_groups:
            branch, stage = group["name"].split("/")[0], group["name"].split("/")[1]
            learns = any(parameter.requires_grad for parameter in group["params"])
            rates = planned["head", ""] if branch == "head" else planned[branch, stage]
            assert rates[epoch] == pytest.approx(group["lr"] if learns else 0.0)
        for _ in range(STEPS):
            optimizer.step()
            schedule.step()


def test_the_first_epoch_of_a_plateau_is_the_earliest_there_is() -> None:
    model = build()
    waits = {row.stage: row.waits for row in plan(model, 12, lr=1.0).rows if row.branch == "b"}
    assert waits == {"stem": 5, "body": 3, "top": 3}
    unfreezing = Unfreezing(model)
    for epoch in range(12):  # nothing ever gets better than at first
        unfreezing.end_epoch(epoch, {"val_loss": 1.0})
    assert model.thaws == {"b": (3, 5)}


def test_what_has_thawed_on_a_plateau_is_known() -> None:
    model = build()
    unfreezing = Unfreezing(model)
    for epoch in range(4):
        unfreezing.end_epoch(epoch, {"val_loss": LOSSES[epoch]})
    rows = {row.stage: row for row in plan(model, 8, lr=1.0).rows if row.branch == "b"}
    assert rows["top"].waits is None
    assert [bool(rate) for rate in rows["top"].rates] == [False] * 4 + [True] * 4
    assert rows["stem"].waits == 6
    assert rows["stem"].metric == "val_loss"


def test_the_model_stays_as_it_is() -> None:
    model = build().train().set_epoch(3)
    before = {name: value.requires_grad for name, value in model.named_parameters()}
    plan(model, 9, lr=1.0)
    assert model.epoch == 3
    assert model.training
    assert before == {name: value.requires_grad for name, value in model.named_parameters()}


def test_the_head_comes_last_and_learns_always() -> None:
    last = plan(build(), 3, lr=0.5).rows[-1]
    assert last == PlanRow("head", "", (0.5, 0.5, 0.5))


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"epochs": 2.0}, {"steps_per_epoch": 0}])
def test_epochs_are_whole(wrong) -> None:
    with pytest.raises(fk.ConfigError, match="as whole numbers, at least 1"):
        plan(build(), **{"epochs": 3, "lr": 1.0, **wrong})
