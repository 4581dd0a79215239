"""``fit``: what a run learns, keeps and leaves behind."""

from __future__ import annotations

import csv
import json
import math
import shutil
from dataclasses import replace

import pytest
import torch
from run_toys import CATALOG, TAKES, branch, job_of, put_picture, put_pictures, truncate
from torch import nn
from torch.testing import assert_close
from toys import TinyNet

import fusionkit as fk
from fusionkit.errors import ConfigError, TrainingError
from fusionkit.runs.evaluate import evaluate
from fusionkit.runs.fit import fit
from fusionkit.runs.job_file import read_job
from fusionkit.runs.predict import predict
from fusionkit.runs.settings import Named

pytest.importorskip("lightning", reason="needs pip install 'torch-fusionkit[train]'")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return put_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def run(pictures, tmp_path_factory):
    """Gives the job, and what a run of it with most settings came to."""
    job = job_of(
        pictures,
        freeze=fk.Freeze.gradual(start=1, every=1),
        epochs=3,
        accumulate=2,
        clip=1.0,
        label_smoothing=0.1,
        ema=0.5,
        data={"augment": True},
    )
    return job, fit(job, tmp_path_factory.mktemp("run") / "out", catalog=CATALOG)


def rows(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def states_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def initial(job):
    """Gives what the model is before the first step."""
    torch.manual_seed(job.training.seed)
    recipe = fk.Recipe(job.recipe.branches, job.recipe.head, num_classes=2)
    return states_of(fk.compose(recipe, catalog=CATALOG))


def test_the_folder_holds_what_is_promised(run):
    _, fitted = run
    there = {path.name for path in fitted.folder.iterdir() if not path.name.startswith(".")}
    assert there == {
        *("best", "environment.json", "identity.json", "metrics.csv", "recipe.yaml"),
        *("result.json", "schedule.txt", "states", "tensorboard"),
    }
    assert list((fitted.folder / "tensorboard").glob("events.out.tfevents.*"))
    assert "stem" in (fitted.folder / "schedule.txt").read_text()
    found = json.loads((fitted.folder / "environment.json").read_text())
    assert found["packages"]["torch"] == torch.__version__.split("+")[0] or found["packages"]


def test_the_recipe_that_is_left_is_the_job_with_the_classes_of_the_data(run):
    job, fitted = run
    left = read_job(fitted.folder / "recipe.yaml")
    assert (left.recipe.num_classes, left.recipe.classes) == (2, ("dark", "light"))
    assert left.training == job.training
    assert left.data == job.data
    assert fk.read_recipe(fitted.folder / "recipe.yaml") == left.recipe


def test_each_epoch_has_a_line_of_figures(run):
    _, fitted = run
    lines = rows(fitted.folder)
    assert [int(line["epoch"]) for line in lines] == [0, 1, 2]
    assert [int(line["step"]) for line in lines] == [2, 4, 6]  # three batches, two for a step
    learn = [int(line["trainable"]) for line in lines]
    assert learn[0] < learn[1] < learn[2]
    rates = [float(line["lr"]) for line in lines]
    assert rates[0] > rates[1] > rates[2] > 0
    assert all(0 < float(line["val_loss"]) < 5 for line in lines)


def test_the_best_model_is_that_of_the_epoch_with_the_least_loss(run):
    _, fitted = run
    losses = [float(line["val_loss"]) for line in rows(fitted.folder)]
    assert fitted.epoch == losses.index(min(losses))
    assert fitted.score.loss == pytest.approx(min(losses), abs=1e-6)


class DeepNet(TinyNet):
    """A net of images with a layer whose weights have five axes, as timm's lambda layers have."""

    def __init__(self, in_channels=3, width=8):
        super().__init__(in_channels, width)
        self.body[3] = nn.Conv3d(1, 1, (3, 1, 1), padding=(1, 0, 0))
        self.body.insert(3, nn.Unflatten(1, (1, width)))
        self.body.append(nn.Flatten(1, 2))
        self.stages = (fk.Stage("stem"), fk.Stage("body"), fk.Stage("top"))
        self.seen: list[tuple[int, ...]] | None = None

    def forward(self, x, reads):
        if self.training and self.seen is not None:
            self.seen.append(self.stem[0].weight.stride())
        return super().forward(x, reads)


class DeepPlugin:
    def __init__(self):
        self.seen = []

    @fk.hookimpl
    def fusionkit_backbones(self):
        return {"net": self.build}

    def build(self, *, in_channels, weights, num_classes):
        net = DeepNet(in_channels)
        net.seen = self.seen
        return net


@pytest.mark.parametrize("channels_last", [True, False])
def test_a_net_with_weights_of_five_axes_learns_in_either_layout(pictures, tmp_path, channels_last):
    plugin = DeepPlugin()
    catalog = CATALOG.with_plugin("deep", plugin)
    job = job_of(pictures, epochs=1, channels_last=channels_last)
    deep = fk.Branch("deep/net", weights=None, preprocessing=TAKES)
    job = replace(job, recipe=replace(job.recipe, branches={**job.recipe.branches, "a": deep}))
    fitted = fit(job, tmp_path / "out", catalog=catalog)
    left = fk.load(fitted.folder / "best", catalog=catalog)
    assert left.branches["a"].body[4].weight.ndim == 5
    assert math.isfinite(fitted.score.loss)
    assert set(plugin.seen) == {(27, 1, 9, 3) if channels_last else (27, 9, 3, 1)}


def test_evaluate_says_of_the_run_what_fit_said(run, pictures):
    _, fitted = run
    score = evaluate(fitted.folder, pictures, catalog=CATALOG)
    assert score == fitted.score
    assert (score.samples, len(score.by_class)) == (6, 2)


def test_a_frozen_branch_stays_as_it_is_to_the_bit_norm_statistics_too(run):
    job, fitted = run
    before, after = initial(job), fitted.model.state_dict()
    frozen = [name for name in before if name.startswith("branches.b.")]
    assert any("running_mean" in name for name in frozen)
    for name in frozen:
        assert torch.equal(before[name], after[name]), name
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert {name.split(".")[0] for name in moved} == {"branches", "head"}


def test_a_frozen_stage_of_a_branch_that_learns_stays_as_it_is(run):
    job, fitted = run
    assert fitted.epoch == 2  # stages thaw at epochs 1 and 2; the stem never did
    before, after = initial(job), fitted.model.state_dict()
    assert torch.equal(before["branches.a.stem.0.weight"], after["branches.a.stem.0.weight"])
    assert not torch.equal(before["branches.a.top.weight"], after["branches.a.top.weight"])


def test_the_same_seed_gives_the_same_bits_and_another_gives_others(run, pictures, tmp_path):
    job, fitted = run
    again = fit(job, tmp_path / "again", catalog=CATALOG)
    assert again.score == fitted.score
    for name, value in fitted.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name
    other = fit(job_of(pictures, epochs=1, seed=1), tmp_path / "other", catalog=CATALOG)
    assert not torch.equal(other.model.head.out["a"].weight, fitted.model.head.out["a"].weight)


def test_workers_change_nothing_of_what_is_learned(pictures, tmp_path):
    plain = fit(job_of(pictures, epochs=1, data={"augment": True}), tmp_path / "0", catalog=CATALOG)
    job = job_of(pictures, epochs=1, data={"augment": True, "workers": 1})
    worked = fit(job, tmp_path / "1", catalog=CATALOG)
    assert worked.score == plain.score
    for name, value in plain.model.state_dict().items():
        assert torch.equal(value, worked.model.state_dict()[name]), name


def test_the_average_is_what_is_validated_and_saved(pictures, tmp_path):
    """With a decay of next to one the average stays where it began."""
    job = job_of(pictures, ema=0.0, epochs=1)
    plain = fit(job_of(pictures, epochs=1), tmp_path / "plain", catalog=CATALOG)
    none = fit(job, tmp_path / "none", catalog=CATALOG)
    for name, value in plain.model.state_dict().items():
        assert torch.equal(value, none.model.state_dict()[name]), name
    slow = fit(job_of(pictures, ema=0.9, epochs=1), tmp_path / "slow", catalog=CATALOG)
    assert slow.score != plain.score
    began = initial(job)["head.out.a.weight"]
    far, near = ((each.model.head.out["a"].weight - began).abs().sum() for each in (plain, slow))
    assert 0 < near < far
    assert evaluate(slow.folder, pictures, catalog=CATALOG) == slow.score


def test_gradients_are_clipped_under_mixed_precision_too(pictures, tmp_path):
    moved = {}
    for clip in (None, 1e-9):
        job = job_of(
            pictures,
            epochs=1,
            clip=clip,
            precision="bf16-mixed",
            optimizer=Named("sgd", {"momentum": 0.0}),
            weight_decay=0.0,
        )
        fitted = fit(job, tmp_path / str(clip), catalog=CATALOG)
        weight = fitted.model.head.out["a"].weight
        moved[clip] = (weight - initial(job)["head.out.a.weight"]).abs().max()
    assert moved[1e-9] < 1e-7 < moved[None]


def test_patience_ends_a_run_that_gets_no_better(pictures, tmp_path):
    job = job_of(pictures, epochs=9, patience=1, lr=3.0, optimizer=Named("sgd"))
    fitted = fit(job, tmp_path / "out", catalog=CATALOG)
    lines = rows(fitted.folder)
    assert len(lines) == fitted.epoch + 2 < 9


def test_a_plateau_lowers_the_rate(pictures, tmp_path):
    schedule = Named("plateau", {"patience": 0, "threshold": 100.0})
    job = job_of(pictures, epochs=3, schedule=schedule, freeze=fk.Freeze.all())
    fitted = fit(job, tmp_path / "out", catalog=CATALOG)
    rates = [float(line["lr"]) for line in rows(fitted.folder)]
    assert rates[0] > rates[-1]


def test_a_branch_thaws_when_the_metric_that_it_waits_for_stalls(pictures, tmp_path):
    freeze = fk.Freeze.on_plateau("val_accuracy", patience=1)
    job = job_of(pictures, epochs=3, freeze=freeze, lr=1e-9, monitor="val_accuracy")
    fitted = fit(job, tmp_path / "out", catalog=CATALOG)
    learn = [int(line["trainable"]) for line in rows(fitted.folder)]
    assert learn[0] == learn[1] < learn[2]


def test_a_model_that_prepares_inside_answers_raw_pictures_alike(pictures, tmp_path):
    """The pictures have just the size that the branches take, so that nothing is resized."""
    inside = fit(
        job_of(pictures, epochs=1, recipe={"preprocess": "inside"}),
        tmp_path / "in",
        catalog=CATALOG,
    )
    outside = fit(job_of(pictures, epochs=1), tmp_path / "out", catalog=CATALOG)
    assert inside.score == outside.score
    saved = fk.load(inside.folder / "best", catalog=CATALOG).eval()
    assert saved.recipe.preprocess == "inside"
    assert evaluate(inside.folder, pictures, catalog=CATALOG) == outside.score
    raw = torch.randint(0, 256, (2, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    mean, std = (
        torch.tensor(each).view(3, 1, 1)
        for each in (fk.Preprocessing((1, 1)).mean, fk.Preprocessing((1, 1)).std)
    )
    prepared = (raw / 255 - mean) / std
    with torch.no_grad():
        assert_close(saved(raw.to(torch.uint8)), outside.model(prepared))


def test_samples_are_held_out_where_there_is_no_split_for_it(tmp_path):
    folder = put_pictures(tmp_path / "pictures", train=5, val=0)
    fitted = fit(job_of(folder / "train", epochs=1), tmp_path / "out", catalog=CATALOG)
    assert fitted.score.samples == 2
    known = json.loads((fitted.folder / "identity.json").read_text())["samples"]
    assert (known["train"]["count"], known["val"]["count"]) == (8, 2)


def test_a_class_that_none_held_out_has_is_null_in_the_result(tmp_path):
    three = put_pictures(tmp_path / "pictures", ("dark", "light", "mid"), train=2, val=1)
    shutil.rmtree(three / "val" / "mid")
    job = job_of(three, epochs=1)
    with pytest.warns(UserWarning, match="no sample of 1 class: 'mid'"):
        fitted = fit(job, tmp_path / "out", catalog=CATALOG)
    text = (fitted.folder / "result.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["by_class"][2] is None
    with pytest.warns(UserWarning, match="no sample of 1 class: 'mid'"):
        again = fit(job, fitted.folder, resume=True, catalog=CATALOG)
    assert math.isnan(again.score.by_class[2])
    assert again.score.by_class[:2] == fitted.score.by_class[:2]


def test_nothing_to_train_is_refused_before_anything_is_written(pictures, tmp_path):
    job = job_of(pictures, freeze=fk.Freeze.all(), epochs=0)
    with pytest.raises(TrainingError, match=r"nothing to train: epochs is 0.*--epochs 1"):
        fit(job, tmp_path / "out", catalog=CATALOG)
    assert not list(tmp_path.rglob("*.yaml"))


def test_a_batch_of_which_nothing_can_be_read_changes_no_step_of_the_others(pictures, tmp_path):
    """One of four samples, so that a batch of one is empty, and the schedule goes on."""
    folder = put_pictures(tmp_path / "pictures", train=2, val=1)
    truncate(folder / "train" / "dark" / "0.png")
    truncate(folder / "val" / "dark" / "0.png")
    job = job_of(folder, epochs=2, batch_size=1, data={"broken": "skip"}, freeze=fk.Freeze.all())
    fitted = fit(job, tmp_path / "out", catalog=CATALOG)
    assert [name for name, _ in fitted.left_out] == ["train/dark/0.png"]
    assert [name for name, _ in fitted.score.broken] == ["val/dark/0.png"]
    assert fitted.score.samples == 1
    assert len(rows(fitted.folder)) == 2


@pytest.mark.parametrize("workers", [0, 1])
def test_a_branch_of_texts_learns_from_a_column_of_them(tmp_path, workers):
    """The pictures are noise: only the captions tell the classes apart."""
    lines = ["id,image,caption,label,split"]
    for number in range(12):
        put_picture(tmp_path / f"{number}.png", 120, number)
        split = "train" if number < 8 else "val"
        caption, label = ("a bee", "x") if number % 2 else ("somewhat longer words", "y")
        lines.append(f"i{number},{number}.png,{caption},{label},{split}")
    table = tmp_path / "table.csv"
    table.write_text("\n".join(lines) + "\n")
    job = job_of(table, epochs=8, lr=0.3, data={"texts": ("caption",), "workers": workers})
    words = fk.Branch("words/words", weights=None, input="caption")
    recipe = replace(job.recipe, branches={"a": branch(freeze=fk.Freeze.all()), "w": words})
    fitted = fit(replace(job, recipe=recipe), tmp_path / "out", catalog=CATALOG)
    assert fitted.score.accuracy == 1
    again = evaluate(fitted.folder, table, "val", texts=("caption",), catalog=CATALOG)
    assert again == fitted.score
    table.write_text("id,image,caption\n1,0.png,a bee\n2,1.png,somewhat longer words\n")
    found = predict(fitted.folder, table, texts=("caption",), catalog=CATALOG)
    assert [each.label for each in found] == [0, 1]


def test_what_lightning_refuses_is_said_as_a_setting(pictures, tmp_path):
    with pytest.raises(ConfigError, match=r"section training: .*accelerator"):
        fit(job_of(pictures, accelerator="quick"), tmp_path / "out", catalog=CATALOG)
    fitted = fit(job_of(pictures, epochs=1), tmp_path / "out", catalog=CATALOG)  # it begins anew
    assert len(rows(fitted.folder)) == 1


def test_in_a_thread_it_says_that_signals_need_the_main_one(pictures, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(fit, job_of(pictures, epochs=1), tmp_path / "out", catalog=CATALOG)
        with pytest.raises(ConfigError, match="works in the main thread only"):
            ended.result()
