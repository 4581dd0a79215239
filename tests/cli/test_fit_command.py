"""``fusionkit fit``: what a person writes, and what they read when it is wrong."""

from __future__ import annotations

import json
import shutil
import signal
import warnings

import numpy as np
import pytest
import yaml
from PIL import Image
from run_commands import RECIPE, write_recipe
from run_toys import CATALOG, put_picture, put_pictures, truncate

import fusionkit as fk
from fusionkit.heads import plugin as heads
from fusionkit.runs.job_file import read_job

pytest.importorskip("lightning", reason="needs pip install 'torch-fusionkit[train]'")

DONE, REFUSED, BAD_DATA, CANNOT_GO_ON, FAILED = 0, 2, 5, 6, 7


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    """Lets the commands see the toys as what is installed."""
    monkeypatch.setattr(fk.Catalog, "installed", classmethod(lambda cls: CATALOG))


@pytest.fixture
def pictures(tmp_path):
    return put_pictures(tmp_path / "pictures")


@pytest.fixture
def fit(piped, tmp_path, pictures):
    """Gives a function that runs ``fit`` and gives its code, what it printed, and what it said."""

    def run(*arguments, recipe=RECIPE, out="out"):
        path = write_recipe(tmp_path, recipe)
        where = ("--data", str(pictures), "--out", str(tmp_path / out))
        return piped("fit", str(path), *where, *arguments)

    return run


def said(result, code):
    """Gives the one error line of a command that ended with a code."""
    got, _, err = result
    assert got == code, err
    errors = [line for line in err.splitlines() if not line.startswith("warning: ")]
    assert errors[0].startswith("error: ")
    assert "Traceback" not in err
    return err


def test_a_run_tells_each_epoch_and_what_came_of_it(fit, tmp_path):
    code, out, err = fit("--epochs", "2")
    assert (code, err) == (DONE, "")
    first, second, best, where = filter(None, out.splitlines())  # older rich has an empty line more
    assert first.startswith("epoch 1/2  loss ")
    assert second.startswith("epoch 2/2  loss ")
    assert "of 6 held-out samples right" in best
    assert where == f"It is saved in {tmp_path / 'out' / 'best'}."


def test_a_head_that_was_fitted_to_the_samples_held_out_is_named(fit, monkeypatch):
    whole = CATALOG.with_plugin("heads", heads)
    monkeypatch.setattr(fk.Catalog, "installed", classmethod(lambda cls: whole))
    code, out, err = fit("--set", "head=heads/adaptive")
    assert (code, err) == (DONE, "")
    assert "Its head was fitted to these very samples, so that the figures say too much" in out


def test_the_recipe_is_shown_as_it_would_run_and_reads_back_equal(fit, tmp_path):
    code, out, err = fit("--print-config", "--lr", "0.5", "--set", "branches.a.freeze=all")
    assert (code, err) == (DONE, "")
    path = write_recipe(tmp_path, out, "shown.yaml")
    shown = read_job(path)
    assert (shown.training.lr, shown.training.epochs) == (0.5, 1)
    assert shown.recipe.branches["a"].freeze == fk.Freeze.all()
    again = write_recipe(tmp_path, yaml.safe_dump(yaml.safe_load(out)), "again.yaml")
    assert read_job(again) == shown
    assert not (tmp_path / "out").exists()


def test_options_stand_for_fields(fit, tmp_path):
    options = ("--batch-size", "3", "--seed", "5", "--workers", "0", "--epochs", "1")
    code, out, _ = fit("--print-config", *options)
    assert code == DONE
    training = read_job(write_recipe(tmp_path, out, "shown.yaml")).training
    assert (training.batch_size, training.seed, training.epochs) == (3, 5, 1)


def test_an_option_and_a_set_of_the_same_field_clash(fit):
    err = said(fit("--lr", "0.5", "--set", "training.lr=1"), REFUSED)
    assert "--set training.lr: stands twice" in err


def test_a_typo_names_the_field(fit):
    err = said(fit("--set", "training.epoch=3"), REFUSED)
    assert "training.epoch" in err
    assert "Did you mean 'epochs'?" in err


def test_without_data_it_says_where_to_name_them(piped, tmp_path):
    err = said(piped("fit", str(write_recipe(tmp_path)), "--out", str(tmp_path / "out")), REFUSED)
    assert err == "error: there are no data: name them with --data, or as data.source\n"


def test_an_empty_class_folder_is_named(fit, pictures, tmp_path):
    (pictures / "train" / "mid").mkdir()
    err = said(fit(), BAD_DATA)
    assert f"the class folder {pictures / 'train' / 'mid'} holds no images; add some, or" in err
    assert not (tmp_path / "out").exists()


def test_one_image_is_too_few(fit, pictures, tmp_path):
    shutil.rmtree(pictures)
    put_picture(pictures / "dark" / "0.png")
    err = said(fit(), BAD_DATA)
    assert "has 1 class (dark); there must be two to tell apart" in err
    put_picture(pictures / "light" / "0.png")
    assert "2 samples cannot be split: no class has two; give a split" in said(fit(), BAD_DATA)
    assert not (tmp_path / "out").exists()


def test_a_class_that_the_training_split_lacks_is_named(fit, pictures):
    shutil.rmtree(pictures / "train" / "light")
    err = said(fit(), BAD_DATA)
    assert f"the split 'train' of {pictures} has 1 class (dark)" in err


def test_a_class_that_only_the_validation_split_has_is_named(fit, pictures):
    put_picture(pictures / "val" / "mid" / "0.png")
    err = said(fit(), BAD_DATA)
    assert "mid" in err
    assert str(pictures / "val") in err


def test_a_class_that_the_validation_split_lacks_is_warned_of(fit, pictures):
    shutil.rmtree(pictures / "val" / "light")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        code, _, err = fit()
    assert code == DONE
    assert err.startswith("warning: ")
    assert "has no sample of 1 class: 'light'" in err


def test_grayscale_16_bit_and_cmyk_pictures_are_taken(fit, pictures):
    put_picture(pictures / "train" / "dark" / "gray.png", mode="L")
    put_picture(pictures / "train" / "dark" / "print.jpg", mode="CMYK")
    put_picture(pictures / "val" / "dark" / "through.png", mode="RGBA")
    deep = np.random.default_rng(0).integers(0, 65536, (16, 16), dtype=np.uint16)
    Image.fromarray(deep).save(pictures / "train" / "dark" / "deep.png")
    code, out, err = fit()
    assert (code, err) == (DONE, "")
    assert "of 7 held-out samples right" in out


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_truncated_picture_is_named_and_the_same_command_works_without_it(
    fit, pictures, tmp_path, split
):
    truncate(pictures / split / "dark" / "0.png")
    err = said(fit(), BAD_DATA)
    assert f"{pictures / split / 'dark' / '0.png'} is damaged or truncated" in err
    assert "mend it or take it away, or let such samples be left out (broken: skip)" in err
    (pictures / split / "dark" / "0.png").unlink()
    code, _, err = fit()
    assert (code, err) == (DONE, "")
    assert len((tmp_path / "out" / "metrics.csv").read_text().splitlines()) == 2
    assert len(list((tmp_path / "out" / "tensorboard").glob("events.*"))) == 1


def test_a_truncated_picture_is_left_out_where_the_recipe_says_so(fit, pictures):
    truncate(pictures / "train" / "dark" / "0.png")
    truncate(pictures / "val" / "dark" / "0.png")
    code, out, err = fit("--set", "data.broken=skip")
    assert (code, err) == (DONE, "")
    assert "of 5 held-out samples right" in out
    learned, held = out.splitlines()[-2:]
    assert learned.startswith("Left out of the samples to learn from, 1: train/dark/0.png (")
    assert held.startswith("Left out of the samples held out, 1: val/dark/0.png (")
    assert held.endswith("is damaged or truncated: OSError: image file is truncated)")


def test_a_decompression_bomb_is_refused_by_its_size(fit, pictures):
    Image.new("1", (14_000, 14_000)).save(pictures / "train" / "dark" / "bomb.png")
    err = said(fit(), BAD_DATA)
    assert "bomb.png has far too many pixels" in err


def test_a_file_that_is_no_picture_and_one_that_is_empty(fit, pictures):
    path = pictures / "train" / "dark" / "0.png"
    path.write_text("no picture")
    assert f"{path} is no image of a known kind" in said(fit(), BAD_DATA)
    path.write_bytes(b"")
    assert f"{path} is empty" in said(fit(), BAD_DATA)


def test_a_recipe_that_trains_nothing_is_refused(fit, tmp_path):
    err = said(fit("--epochs", "0"), FAILED)
    assert "there is nothing to train: epochs is 0" in err
    assert "for example --epochs 1" in err
    assert list((tmp_path / "out").rglob("*.yaml")) == []
    assert fit()[0] == DONE


def test_a_folder_that_holds_something_else_is_left_alone(fit, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("all of it")
    err = said(fit(), REFUSED)
    assert "holds other files (thesis.tex); choose another with --out" in err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]
    (tmp_path / "file").write_text("")
    assert "is no folder; choose another with --out" in said(fit(out="file"), REFUSED)


def test_a_run_that_lies_there_is_not_written_over(fit, tmp_path):
    assert fit()[0] == DONE
    before = (tmp_path / "out" / "result.json").read_text()
    err = said(fit(), REFUSED)
    assert "holds a run already; go on with it by --resume, or choose another" in err
    err = said(fit("--resume", "--lr", "3"), CANNOT_GO_ON)
    assert "training.lr: 0.01 when it was saved, 3" in err
    code, out, _ = fit("--resume")
    assert code == DONE
    assert out.splitlines()[1].startswith("The best model (epoch 1 of 1)")
    assert (tmp_path / "out" / "result.json").read_text() == before


def test_a_training_that_diverges_ends_with_a_code_of_its_own(fit):
    err = said(fit("--epochs", "4", "--lr", "1e20", "--set", "training.optimizer=sgd"), FAILED)
    assert "the training has diverged" in err
    assert "lower training.lr" in err


def test_more_devices_than_there_are_is_a_setting(fit):
    err = said(fit("--set", "training.accelerator=gpux"), REFUSED)
    assert err.startswith("error: section training: ")
    assert "gpux" in err


def test_the_figures_are_those_of_the_result(fit, tmp_path):
    code, out, _ = fit()
    assert code == DONE
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert f"gets {result['accuracy']:.4f} of {result['samples']} held-out samples" in out


@pytest.mark.parametrize(
    ("batch", "said"), [(1, "stopped before the first save"), (4, "stopped; --resume goes on with")]
)
def test_ctrl_c_says_what_there_is_to_go_on_with(fit, tmp_path, monkeypatch, batch, said):
    from fusionkit.runs.module import FusionModule

    begin = FusionModule.on_train_batch_start
    before = signal.getsignal(signal.SIGINT)

    def interrupted(self, data, index):
        if self.current_epoch * self.batches_per_epoch + index == batch:
            raise KeyboardInterrupt
        begin(self, data, index)

    monkeypatch.setattr(FusionModule, "on_train_batch_start", interrupted)
    code, _, err = fit("--epochs", "2")
    assert code == 128 + signal.SIGINT
    assert err.startswith(said)
    assert signal.getsignal(signal.SIGINT) is before
    monkeypatch.undo()
    monkeypatch.setattr(fk.Catalog, "installed", classmethod(lambda cls: CATALOG))
    code, out, _ = fit("--epochs", "2", *(("--resume",) if batch > 2 else ()))
    assert code == DONE
    assert "epoch 2/2" in out


def test_sigterm_saves_first(fit, tmp_path, monkeypatch):
    from fusionkit.runs.module import FusionModule

    begin = FusionModule.on_train_batch_start

    def told(self, data, index):
        if index == 1:
            signal.raise_signal(signal.SIGTERM)
        begin(self, data, index)

    monkeypatch.setattr(FusionModule, "on_train_batch_start", told)
    code, _, err = fit()
    assert code == 128 + signal.SIGTERM
    assert err == f"stopped; --resume goes on with {tmp_path / 'out'}\n"
