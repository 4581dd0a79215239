"""A plain loop that goes on from any of its saves ends with the same bits."""

from __future__ import annotations

import random
import shutil

import numpy
import pytest
import torch
from loops import Noise, build
from test_state_folder import same
from torch.nn.functional import cross_entropy

import fusionkit as fk
from fusionkit.errors import ConfigError, ResumeError
from fusionkit.training import (
    EMA,
    Position,
    RunStates,
    Unfreezing,
    capture_run,
    read_state,
    restore_run,
    resume_run,
    save_run,
    seed_step,
    write_state,
)

EPOCHS, BATCHES, ACCUMULATE = 3, 4, 2


class Batches:
    """An order of its own, drawn anew for each epoch from a generator that goes on."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(5)
        self.order = torch.arange(16)

    def begin_epoch(self) -> None:
        self.order = torch.randperm(16, generator=self.generator)

    def state_dict(self):
        return {"order": self.order, "generator": self.generator.get_state()}

    def load_state_dict(self, state):
        self.order = state["order"]
        self.generator.set_state(state["generator"])


class Run:
    """All parts of a run, as they are before its first step."""

    def __init__(self, *, lr=1e-2, scheduler="cosine", **branches) -> None:
        self.model = build(**branches)
        groups = self.model.param_groups(lr=lr, weight_decay=0.1)
        self.optimizer = torch.optim.AdamW(groups, foreach=False)
        self.scheduler = None
        if scheduler == "cosine":
            self.scheduler = self.model.lr_scheduler(
                self.optimizer, "cosine", total_steps=20, steps_per_epoch=2
            )
        elif scheduler is not None:
            self.scheduler = scheduler(self.optimizer)
        self.parts = {
            "scheduler": self.scheduler,
            "unfreezing": Unfreezing(self.model),
            "sampler": Batches(),
            "scaler": torch.amp.GradScaler("cpu", init_scale=1024, growth_interval=2),
            "ema": EMA(self.model, 0.9),
        }
        self.settings = {"batch_size": 4, "seed": 3}
        self.log: list[float] = []

    def train(self, folder, *, copies=None, seeds=True, stop=None, **options):
        """Trains to the end, or to a step, saving after each step and each epoch."""
        noise, parts = Noise(16), self.parts
        with RunStates(folder) as states:
            resumed = resume_run(
                states, self.model, self.optimizer, settings=self.settings, **parts, **options
            )
            self.log, step = resumed.extra or [], resumed.position.step

            def save(epoch, batch):
                path = save_run(
                    states,
                    self.model,
                    self.optimizer,
                    position=Position(epoch, batch, step),
                    extra=self.log,
                    settings=self.settings,
                    finished=epoch == EPOCHS,
                    **parts,
                )
                if copies is not None:
                    shutil.copytree(path, copies / f"{epoch}-{batch}" / path.name)

            for epoch in range(resumed.position.epoch, EPOCHS):
                parts["unfreezing"].begin_epoch(epoch)
                self.model.train()
                first = resumed.position.first_batch(epoch)
                if not first:
                    parts["sampler"].begin_epoch()
                for batch in range(first, BATCHES):
                    if seeds:
                        seed_step(3, epoch * BATCHES + batch)
                    rows = parts["sampler"].order[4 * batch : 4 * batch + 4]
                    loss = cross_entropy(self.model(noise.x[rows]), noise.y[rows])
                    parts["scaler"].scale(loss / ACCUMULATE).backward()
                    noisy = (random.random(), float(numpy.random.rand()))
                    self.log.append((loss.item(), noisy))
                    if (batch + 1) % ACCUMULATE == 0:
                        parts["scaler"].step(self.optimizer)
                        parts["scaler"].update()
                        self.optimizer.zero_grad()
                        if self.scheduler is not None:
                            self.scheduler.step()
                        parts["ema"].update()
                        step += 1
                        save(epoch, batch + 1)
                        if step == stop:
                            return resumed
                parts["unfreezing"].end_epoch(epoch, {"val_loss": 1.0})
                save(epoch + 1, 0)
        return resumed

    def end(self):
        """Gives all that the run has become."""
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        parts = {name: part.state_dict() for name, part in self.parts.items() if part is not None}
        return {
            "model": dict(self.model.state_dict()),
            "learns": [name for name, each in self.model.named_parameters() if each.requires_grad],
            "state": dict(sorted((names[id(p)], s) for p, s in self.optimizer.state.items())),
            "rates": [group["lr"] for group in self.optimizer.param_groups],
            "parts": parts,
            "log": self.log,
        }


@pytest.mark.parametrize("seeds", [True, False])
def test_p7_f075_a_run_goes_on_from_each_save_to_the_same_bits(tmp_path, seeds):
    plateau = fk.Freeze.on_plateau(patience=1)
    b = fk.Branch("toy/tiny", weights=None, freeze=plateau, lr=fk.LR(0.2, warmup=1))
    whole = Run(b=b)
    whole.train(tmp_path / "whole", copies=tmp_path / "copies", seeds=seeds)
    expected = whole.end()
    assert whole.model.thaws["b"] == (2, 3)
    saves = sorted((tmp_path / "copies").iterdir())
    assert len(saves) == EPOCHS * (BATCHES // ACCUMULATE + 1)
    for save in saves:
        random.seed(77)
        numpy.random.seed(77)
        torch.manual_seed(77)
        again = Run(b=b)
        resumed = again.train(save, seeds=seeds)
        assert f"{resumed.position.epoch}-{resumed.position.batch}" == save.name
        assert resumed.inexact == ()
        same(expected, again.end())


def without(state, *path):
    """Takes what a save holds out again."""
    inside = state
    for key in path[:-1]:
        inside = inside[key]
    if isinstance(inside[path[-1]], dict):
        inside[path[-1]].clear()
    else:
        inside[path[-1]] = 0


@pytest.mark.parametrize(
    "path",
    [
        ("optimizer", "state"),
        ("position", "batch"),
        ("parts", "scheduler", "last_epoch"),
        ("parts", "ema", "steps"),
        ("parts", "scaler", "_growth_tracker"),
        ("random",),
    ],
    ids="/".join,
)
def test_f072_each_part_is_needed(tmp_path, path):
    whole = Run()
    whole.train(tmp_path / "whole", copies=tmp_path / "copies", seeds=False)
    folder = next((tmp_path / "copies" / "1-2").iterdir())
    state = read_state(folder)
    without(state, *path)
    write_state(folder, state)
    again = Run()
    torch.manual_seed(8)
    again.train(tmp_path / "copies" / "1-2", seeds=False, inexact=True)
    with pytest.raises(AssertionError):
        same(whole.end(), again.end())


def test_f076_a_finished_run_says_so_and_does_nothing(tmp_path):
    run = Run()
    run.train(tmp_path / "run")
    before = run.end()
    again = Run()
    resumed = again.train(tmp_path / "run")
    assert resumed.finished
    assert "is finished already: epoch 3, batch 0, step 6" in str(resumed)
    same(before, again.end())


def test_f073_random_numbers_that_are_none_stop_the_run_or_are_noted_for_good(tmp_path):
    Run().train(tmp_path / "run", stop=2)
    path = tmp_path / "run" / "step-00000002"
    state = read_state(path)
    state["random"]["torch"] = torch.zeros(3, dtype=torch.uint8)
    write_state(path, state)
    with pytest.raises(ResumeError, match=r"torch's random numbers is none.*with inexact=True the"):
        Run().train(tmp_path / "run")
    resumed = Run().train(tmp_path / "run", inexact=True, stop=3)
    assert "goes on at epoch 0, batch 4, step 2; not as before: the state of torch's" in str(
        resumed
    )
    resumed = Run().train(tmp_path / "run", stop=4)
    assert len(resumed.inexact) == 1


def test_f074_what_has_changed_is_refused_or_noted_for_good(tmp_path):
    Run().train(tmp_path / "run", stop=2)
    run = Run()
    run.settings["batch_size"] = 2
    with pytest.raises(ResumeError, match="batch_size: 4 when it was saved, 2 now"):
        run.train(tmp_path / "run")
    resumed = run.train(tmp_path / "run", allow=["batch_size"], stop=3)
    assert resumed.inexact == ("batch_size: 4 when it was saved, 2 now",)
    again = Run()
    again.settings["batch_size"] = 2
    assert again.train(tmp_path / "run", stop=4).inexact == resumed.inexact


def test_f074_another_recipe_is_refused(tmp_path):
    Run().train(tmp_path / "run", stop=2)
    other = Run(a=fk.Branch("toy/tiny", weights=None, freeze=fk.Freeze.none()))
    with pytest.raises(ResumeError, match=r"recipe\.branches\.a"):
        other.train(tmp_path / "run")


def step_rates(optimizer):
    return torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)


def one_after_another(optimizer):
    kinds = torch.optim.lr_scheduler
    parts = [kinds.LinearLR(optimizer, total_iters=2), kinds.ExponentialLR(optimizer, 0.9)]
    return kinds.SequentialLR(optimizer, parts, milestones=[3])


@pytest.mark.parametrize("scheduler", [None, "cosine", step_rates, one_after_another])
def test_f065_other_rates_are_refused_or_scale_those_that_were_saved(tmp_path, scheduler):
    whole = Run(scheduler=scheduler)
    whole.train(tmp_path / "run", stop=3)
    saved = [group["lr"] for group in whole.optimizer.param_groups]
    shutil.copytree(tmp_path / "run", tmp_path / "again")
    with pytest.raises(ResumeError, match=r"a/stem/decay\.lr: 0\.005 when .*, 0\.015 now"):
        Run(scheduler=scheduler, lr=0.03).train(tmp_path / "run")
    faster = Run(scheduler=scheduler, lr=0.03)
    faster.train(tmp_path / "run", allow=["optimizer"], stop=3)  # goes on, and then one step
    same_rates, other = Run(scheduler=scheduler), Run(scheduler=scheduler, lr=0.03)
    for run, allow in ((same_rates, []), (other, ["optimizer"])):
        with RunStates(tmp_path / "again") as states:
            resume_run(
                states, run.model, run.optimizer, settings=run.settings, allow=allow, **run.parts
            )
    assert [group["lr"] for group in same_rates.optimizer.param_groups] == saved
    assert [group["lr"] for group in other.optimizer.param_groups] == pytest.approx(
        [3 * rate for rate in saved]
    )
    if scheduler is not None:
        for run in (same_rates, other):
            run.scheduler.optimizer.step()
            run.scheduler.step()
        one, two = ([g["lr"] for g in run.optimizer.param_groups] for run in (same_rates, other))
        assert two == pytest.approx([3 * rate for rate in one])


def test_a_rate_that_a_loop_sets_by_hand_is_no_change(tmp_path):
    run = Run(scheduler=None)
    with RunStates(tmp_path) as states:
        resume_run(states, run.model, run.optimizer)
        run.optimizer.param_groups[0]["lr"] = 0.0123
        save_run(states, run.model, run.optimizer, position=Position(0, 1, 1))
    again = Run(scheduler=None)
    with RunStates(tmp_path) as states:
        resume_run(states, again.model, again.optimizer)
    assert again.optimizer.param_groups[0]["lr"] == 0.0123


@pytest.mark.parametrize("part", ["unfreezing", "scheduler", "sampler", "scaler", "ema"])
def test_parts_are_those_that_were_saved(part):
    run = Run()
    fewer = {name: each for name, each in run.parts.items() if name != part}
    for saved, given, said in (
        (run.parts, fewer, f"saved with a {part}; give {part}="),
        (fewer, run.parts, f"saved without a {part}; leave {part}="),
    ):
        state = capture_run(run.model, run.optimizer, position=Position(), **saved)
        with pytest.raises(ResumeError, match=said):
            restore_run(state, run.model, run.optimizer, **given)


class Stubborn:
    def __init__(self, error):
        self.error = error

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        raise self.error


@pytest.mark.parametrize("error", [KeyError("order"), ResumeError("another model")])
def test_a_part_that_does_not_take_its_state_is_named(error):
    run = Run()
    state = capture_run(run.model, run.optimizer, position=Position(), sampler=Stubborn(error))
    with pytest.raises(ResumeError, match=r"the sampler does not take its .*: .*(ord|mod)"):
        restore_run(state, run.model, run.optimizer, sampler=Stubborn(error))


def test_what_has_no_state_is_refused():
    run = Run()
    with pytest.raises(ConfigError, match=r"sampler has no state_dict\(\) and load_state_dict\(\)"):
        capture_run(run.model, run.optimizer, position=Position(), sampler=[1])
    with pytest.raises(ConfigError, match="position is a Position"):
        capture_run(run.model, run.optimizer, position=3)


@pytest.mark.parametrize("state", [{}, {"model": {}}, None])
def test_what_is_no_state_of_a_run_is_refused(state):
    run = Run()
    with pytest.raises(ResumeError, match="no state of a run, as capture_run gives it"):
        restore_run(state, run.model, run.optimizer)


def test_a_model_that_is_compiled_goes_on_from_one_that_is_not():
    run, again = Run(), Run()
    state = capture_run(run.model, run.optimizer, position=Position(1, 2, 3), extra="x")
    resumed = restore_run(state, torch.compile(again.model), again.optimizer)
    assert (resumed.position, resumed.extra) == (Position(1, 2, 3), "x")


def test_a_module_that_is_no_fused_model_goes_on_as_well(tmp_path):
    def build_both():
        model = torch.nn.Linear(2, 2)
        return model, torch.optim.Adam(model.parameters())

    model, optimizer = build_both()
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    with RunStates(tmp_path) as states:
        save_run(states, model, optimizer, position=Position(step=1))
    other, again = build_both()
    with RunStates(tmp_path) as states:
        assert resume_run(states, other, again).position.step == 1
    assert torch.equal(model.weight, other.weight)
    assert torch.equal(
        optimizer.state[model.weight]["exp_avg"], again.state[other.weight]["exp_avg"]
    )
