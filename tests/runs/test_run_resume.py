"""A run that was stopped goes on to the same bits, or says why it cannot."""

from __future__ import annotations

import csv
import json
import resource
import signal
from dataclasses import replace
from functools import partial

import pytest
import torch
from forked import KILLED, at_batch, exit_code, needs_fork, signal_self
from run_toys import BRIGHTNESS, CATALOG, job_of, put_picture, put_pictures

import fusionkit as fk
from fusionkit.errors import CheckpointError, ConfigError, ResumeError, TrainingError
from fusionkit.runs.fit import fit
from fusionkit.runs.settings import Named
from fusionkit.training.resume.run_states import RunStates

pytest.importorskip("lightning", reason="needs pip install 'torch-fusionkit[train]'")

BATCHES = 3
FIGURES = ("epoch", "step", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return put_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def job(pictures):
    return job_of(
        pictures,
        freeze=fk.Freeze.gradual(start=1, every=1),
        epochs=3,
        ema=0.7,
        data={"augment": True},
        schedule=Named("one_cycle"),
        save_every=1,
    )


@pytest.fixture(scope="module")
def whole(job, tmp_path_factory):
    """Gives what the job comes to when nothing stops it."""
    return fit(job, tmp_path_factory.mktemp("whole") / "out", catalog=CATALOG)


def all_figures(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def figures(folder):
    return [{name: line[name] for name in FIGURES} for line in all_figures(folder)]


def assert_same(fitted, whole):
    assert fitted.score == whole.score
    assert fitted.epoch == whole.epoch
    assert figures(fitted.folder) == figures(whole.folder)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, fitted.model.state_dict()[name]), name


def stopped_in_validation(job, folder, act):
    from fusionkit.runs.module import FusionModule

    step = FusionModule.validation_step

    def act_first(self, batch, index):
        if self.current_epoch == 1:
            act()
        step(self, batch, index)

    FusionModule.validation_step = act_first  # in a process of its own
    fit(job, folder, catalog=CATALOG)


def stopped_before_the_end(job, folder, act):
    from fusionkit.runs.run_folder import RunFolder

    RunFolder.end = lambda self, result: act()  # in a process of its own
    fit(job, folder, catalog=CATALOG)


def stopped(job, folder, batch, act):
    at_batch(batch, act)
    fit(job, folder, catalog=CATALOG)


@needs_fork
def test_a_run_that_is_killed_in_a_validation_goes_on_with_that_validation(job, whole, tmp_path):
    kill = partial(signal_self, signal.SIGKILL)
    assert exit_code(stopped_in_validation, job, tmp_path / "out", kill) == KILLED
    assert_same(fit(job, tmp_path / "out", resume=True, catalog=CATALOG), whole)


@needs_fork
def test_a_run_that_is_told_to_end_at_an_epochs_last_batch_loses_nothing(job, whole, tmp_path):
    told = partial(signal_self, signal.SIGTERM)
    for batch in (2 * BATCHES - 1, 3 * BATCHES - 1):
        folder = tmp_path / f"{batch}"
        assert exit_code(stopped, job, folder, batch, told) == 128 + signal.SIGTERM
        assert_same(fit(job, folder, resume=True, catalog=CATALOG), whole)


@needs_fork
def test_a_run_whose_patience_had_run_out_trains_no_epoch_more(pictures, tmp_path):
    job = job_of(pictures, epochs=6, lr=1e-12, patience=1)
    whole = fit(job, tmp_path / "whole", catalog=CATALOG)
    assert len(figures(whole.folder)) < 6
    kill = partial(signal_self, signal.SIGKILL)
    assert exit_code(stopped_before_the_end, job, tmp_path / "out", kill) == KILLED
    assert_same(fit(job, tmp_path / "out", resume=True, catalog=CATALOG), whole)


def test_f074_pictures_that_were_exchanged_are_noticed(tmp_path):
    pictures = put_pictures(tmp_path / "pictures")
    job = job_of(pictures, epochs=1)
    fit(job, tmp_path / "out", catalog=CATALOG)
    put_picture(pictures / "train" / "dark" / "0.png", BRIGHTNESS["light"], mode="L")
    with pytest.raises(ResumeError, match=r"samples\.train\.sha256"):
        fit(job, tmp_path / "out", resume=True, catalog=CATALOG)


def test_f074_what_may_change_is_said(pictures, tmp_path):
    fit(job_of(pictures, epochs=1), tmp_path / "out", catalog=CATALOG)
    (tmp_path / "out" / "result.json").unlink()  # as if it had been killed just before
    longer = job_of(pictures, epochs=2)
    with pytest.raises(ResumeError, match=r"training\.epochs: 1 when it was saved, 2 now"):
        fit(longer, tmp_path / "out", resume=True, catalog=CATALOG)
    out = fit(longer, tmp_path / "out", resume=True, allow=["training.epochs"], catalog=CATALOG)
    assert len(figures(out.folder)) == 2
    assert "epochs: 2" in (out.folder / "recipe.yaml").read_text()


@needs_fork
def test_a_run_that_is_killed_in_the_midst_of_an_epoch_goes_on_to_the_same_bits(
    job, whole, tmp_path
):
    kill = partial(signal_self, signal.SIGKILL)
    assert exit_code(stopped, job, tmp_path / "out", BATCHES + 2, kill) == KILLED
    assert not (tmp_path / "out" / "result.json").exists()
    with pytest.raises(ConfigError, match=r"holds a run already; go on with it by --resume"):
        fit(job, tmp_path / "out", catalog=CATALOG)
    fitted = fit(job, tmp_path / "out", resume=True, catalog=CATALOG)
    assert_same(fitted, whole)


@needs_fork
def test_a_run_that_is_told_to_end_saves_first_and_exits_with_143(job, whole, tmp_path):
    seldom = replace(job, training=replace(job.training, save_every=None))
    told = partial(signal_self, signal.SIGTERM)
    assert exit_code(stopped, seldom, tmp_path / "out", 1, told) == 128 + signal.SIGTERM
    assert RunStates(tmp_path / "out" / "states").steps() == (2,)
    assert_same(fit(seldom, tmp_path / "out", resume=True, catalog=CATALOG), whole)


def full_disk():
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, most))


def fails_with(error, job, folder, batch, act):
    with pytest.raises(error):
        stopped(job, folder, batch, act)


@needs_fork
def test_a_full_disk_keeps_what_was_there(job, whole, tmp_path):
    out = tmp_path / "out"
    assert exit_code(fails_with, CheckpointError, job, out, BATCHES, full_disk) == 0
    assert RunStates(out / "states").steps() == (2, 3)
    assert fk.load(out / "best", catalog=CATALOG).recipe.num_classes == 2
    assert [path.name for path in (out / "states").iterdir() if ".new-" in path.name] == []
    assert_same(fit(job, out, resume=True, catalog=CATALOG), whole)


@needs_fork
def test_a_run_that_is_killed_before_it_learned_anything_begins_anew(job, whole, tmp_path):
    kill = partial(signal_self, signal.SIGKILL)
    assert exit_code(stopped, job, tmp_path / "out", 0, kill) == KILLED
    assert (tmp_path / "out" / "recipe.yaml").exists()
    fitted = fit(job, tmp_path / "out", catalog=CATALOG)
    assert_same(fitted, whole)
    assert len(list((fitted.folder / "tensorboard").glob("events.*"))) == 1


def test_to_resume_where_no_run_lies_begins_one(job, whole, tmp_path):
    assert_same(fit(job, tmp_path / "out", resume=True, catalog=CATALOG), whole)


def test_a_run_that_has_ended_is_not_trained_again(job, whole):
    before = (whole.folder / "metrics.csv").stat().st_mtime_ns
    again = fit(job, whole.folder, resume=True, catalog=CATALOG)
    assert again.score == whole.score
    assert (again.epoch, again.epochs, again.folder) == (whole.epoch, 3, whole.folder)
    assert (whole.folder / "metrics.csv").stat().st_mtime_ns == before
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"batch_size": 2}, r"training\.batch_size: 4 when it was saved, 2 now"),
        ({"seed": 9}, r"training\.seed: 0 when it was saved, 9 now"),
        ({"lr": 1.0}, r"training\.lr: 0\.01 when it was saved, 1\.0 now"),
        ({"devices": 2}, r"training\.devices: 1 when it was saved, 2 now"),
    ],
)
def test_changed_settings_are_refused_by_name(job, whole, training, said):
    changed = replace(job, training=replace(job.training, **training))
    with pytest.raises(ResumeError, match=said):
        fit(changed, whole.folder, resume=True, catalog=CATALOG)


def test_a_changed_recipe_and_other_samples_are_refused(job, whole, tmp_path):
    other = job_of(None, freeze=fk.Freeze.all()).recipe
    with pytest.raises(ResumeError, match=r"branches\.a\.freeze"):
        fit(replace(job, recipe=other), whole.folder, resume=True, catalog=CATALOG)
    more = put_pictures(tmp_path / "more")
    put_picture(more / "train" / "dark" / "new.png", BRIGHTNESS["dark"])
    moved = replace(job, data=replace(job.data, source=str(more)))
    with pytest.raises(ResumeError, match=r"samples\.train\.count: 12 when it was saved, 13 now"):
        fit(moved, whole.folder, resume=True, catalog=CATALOG)


def test_data_may_have_moved_and_workers_and_saving_may_change(job, whole, tmp_path):
    moved = put_pictures(tmp_path / "moved")
    free = replace(
        job,
        data=replace(job.data, source=str(moved), workers=1),
        training=replace(job.training, save_every=7),
    )
    assert fit(free, whole.folder, resume=True, catalog=CATALOG).score == whole.score


def test_a_folder_in_use_is_refused(job, tmp_path):
    with RunStates(tmp_path / "out" / "states"), pytest.raises(ResumeError, match="is in use by"):
        fit(job, tmp_path / "out", catalog=CATALOG)
    assert not (tmp_path / "out" / "recipe.yaml").exists()


def test_a_training_that_diverges_says_where_and_keeps_the_best(pictures, tmp_path):
    job = job_of(pictures, epochs=5, lr=1e9, optimizer=Named("sgd"), schedule=Named("constant"))
    with pytest.raises(TrainingError) as caught:
        fit(job, tmp_path / "out", catalog=CATALOG)
    said = str(caught.value)
    assert "the loss is nan at epoch 0, batch" in said
    assert "branch 'a'" in said
    assert "lower training.lr" in said
    assert not (tmp_path / "out" / "result.json").exists()


def test_a_run_whose_result_was_not_written_is_ended(job, whole, tmp_path):
    """It was killed while the best model was measured."""
    result = json.loads((whole.folder / "result.json").read_text())
    (whole.folder / "result.json").unlink()
    again = fit(job, whole.folder, resume=True, catalog=CATALOG)
    assert_same(again, whole)
    fresh = json.loads((whole.folder / "result.json").read_text())
    assert {**fresh, "seconds": 0} == {**result, "seconds": 0}


PLATEAU = fk.Freeze.on_plateau("val_loss", patience=1, min_delta=9.0)
LOWERS = Named("plateau", {"patience": 0, "threshold": 9.0})
WAYS = {
    "accumulation": {
        "data": {"augment": True},
        "accumulate": 2,
        "save_every": 1,
        "epochs": 2,
    },
    "thaws on a plateau, and patience": {
        "freeze": PLATEAU,
        "schedule": LOWERS,
        "patience": 2,
        "epochs": 5,
    },
    "cached features": {"freeze": fk.Freeze.all(), "cache": True, "save_every": 1},
    "cached views": {
        "freeze": fk.Freeze.gradual(start=2, every=1),
        "cache": True,
        "cache_views": 2,
        "data": {"augment": True},
        "save_every": 2,
    },
}


@needs_fork
@pytest.mark.parametrize("way", WAYS)
def test_a_killed_run_goes_on_to_the_same_bits_whatever_it_does(
    pictures, tmp_path, monkeypatch, way
):
    monkeypatch.setenv("FUSIONKIT_CACHE", str(tmp_path / "cache"))
    job = job_of(pictures, **{"epochs": 3, **WAYS[way]})
    whole = fit(job, tmp_path / "whole", catalog=CATALOG)
    batches = -(-12 // job.training.batch_size)
    kill = partial(signal_self, signal.SIGKILL)
    assert (
        exit_code(stopped, job, tmp_path / "out", (job.training.epochs - 1) * batches + 1, kill)
        == KILLED
    )
    fitted = fit(job, tmp_path / "out", resume=True, catalog=CATALOG)
    assert_same(fitted, whole)
    learn = [line["trainable"] for line in all_figures(fitted.folder)]
    assert learn == [line["trainable"] for line in all_figures(whole.folder)]


def test_a_run_that_patience_ended_goes_no_further(pictures, tmp_path):
    """It was killed while the best model was measured."""
    job = job_of(pictures, epochs=9, patience=1, lr=3.0, optimizer=Named("sgd"))
    whole = fit(job, tmp_path / "out", catalog=CATALOG)
    before = figures(whole.folder)
    assert len(before) < 9
    (whole.folder / "result.json").unlink()
    again = fit(job, whole.folder, resume=True, catalog=CATALOG)
    assert figures(whole.folder) == before
    assert again.score == whole.score
    assert again.epoch == whole.epoch
