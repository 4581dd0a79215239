"""``fusionkit evaluate``, ``predict`` and ``schedule``."""

from __future__ import annotations

import csv
import io
import json

import pytest
import torch
from run_commands import write_recipe
from run_toys import CATALOG, job_of, put_pictures, truncate

import fusionkit as fk

pytest.importorskip("torchmetrics", reason="needs pip install 'torch-fusionkit[train]'")

BAD_CHECKPOINT, BAD_DATA = 4, 5


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    """Lets the commands see the toys as what is installed."""
    monkeypatch.setattr(fk.Catalog, "installed", classmethod(lambda cls: CATALOG))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Gives the folder of a model."""
    recipe = job_of(None, recipe={"num_classes": 2, "classes": ("dark", "light")}).recipe
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model") / "model"
    fk.save(fk.compose(recipe, catalog=CATALOG), folder)
    return str(folder)


@pytest.fixture
def pictures(tmp_path):
    return put_pictures(tmp_path / "pictures", train=2, val=3)


def test_evaluate_tells_accuracy_and_what_was_taken_for_which(piped, saved, pictures):
    code, out, err = piped("evaluate", saved, "--data", str(pictures))
    assert (code, err) == (0, "")
    assert out.startswith("6 samples: accuracy ")
    assert "calibration error" in out
    assert "dark" in out
    code, out, _ = piped("evaluate", saved, "--data", str(pictures), "--json")
    found = json.loads(out)
    assert found["classes"] == ["dark", "light"]
    assert found["samples"] == sum(map(sum, found["confusion"])) == 6
    code, out, _ = piped("evaluate", saved, "--data", str(pictures), "--split", "train")
    assert out.startswith("4 samples: ")


def test_a_device_that_is_not_here_is_named(piped, saved, pictures):
    for command in (("evaluate", saved, "--data"), ("predict", saved)):
        code, out, err = piped(*command, str(pictures), "--device", "cudda")
        assert (code, out) == (2, "")
        assert "device='cudda' cannot be used here" in err


def test_texts_of_a_manifest_are_named(piped, tmp_path):
    words = fk.Branch("words/words", weights=None, input="caption")
    recipe = fk.Recipe({"w": words}, fk.Head("toy/sum"), 2, classes=("x", "y"))
    model = str(fk.save(fk.compose(recipe, catalog=CATALOG), tmp_path / "model"))
    table = tmp_path / "table.csv"
    table.write_text("id,caption,label\n1,a bee,x\n2,an ant,y\n3,an eel,x\n")
    code, out, _ = piped("evaluate", model, "--data", str(table), "--texts", "caption")
    assert (code, out[:10]) == (0, "3 samples:")
    code, out, _ = piped("predict", model, str(table), "--texts", "caption")
    assert [row["id"] for row in csv.DictReader(io.StringIO(out))] == ["1", "2", "3"]
    code, _, err = piped("predict", model, str(table))
    assert code == BAD_DATA
    assert "files that are not there" in err


def test_evaluate_fits_80_columns(at_terminal, saved, pictures):
    assert "dark" in at_terminal("evaluate", saved, "--data", str(pictures))


def test_evaluate_names_what_it_left_out(piped, saved, pictures):
    truncate(pictures / "val" / "dark" / "1.png")
    code, out, err = piped("evaluate", saved, "--data", str(pictures))
    assert (code, out) == (BAD_DATA, "")
    assert "1.png is damaged or truncated" in err
    code, out, _ = piped("evaluate", saved, "--data", str(pictures), "--skip-broken")
    assert code == 0
    assert out.startswith("5 samples: ")
    assert "left out: val/dark/1.png: " in out


def test_predict_writes_lines_to_a_pipe(piped, saved, pictures):
    code, out, err = piped("predict", saved, str(pictures / "val"))
    assert (code, err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["id"] for row in rows] == [f"{c}/{n}.png" for c in ("dark", "light") for n in "012"]
    for row in rows:
        assert max(("dark", "light"), key=lambda name: float(row[f"p_{name}"])) == row["prediction"]


def test_predict_writes_a_file_and_says_how_many(piped, saved, pictures, tmp_path):
    truncate(pictures / "val" / "dark" / "1.png")
    out_file = tmp_path / "out.csv"
    options = ("--out", str(out_file), "--skip-broken", "--batch-size", "1")
    code, out, err = piped("predict", saved, str(pictures / "val"), *options)
    assert (code, out, err) == (0, "", f"6 predictions in {out_file}\n")
    errors = [row["error"] for row in csv.DictReader(io.StringIO(out_file.read_text()))]
    assert [bool(each) for each in errors] == [False, True, False, False, False, False]


def test_nothing_is_printed_where_nothing_can_be_opened(piped, saved, pictures, tmp_path):
    code, out, err = piped("predict", saved, str(tmp_path / "nowhere"))
    assert (code, out) == (BAD_DATA, "")
    assert err == f"error: there is no folder or file {tmp_path / 'nowhere'}\n"
    code, out, err = piped("predict", str(tmp_path / "nowhere"), str(pictures))
    assert (code, out) == (BAD_CHECKPOINT, "")


def test_a_run_that_has_saved_nothing_yet_is_named(piped, pictures, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text("")
    (tmp_path / "run" / "identity.json").write_text("{}")
    code, _, err = piped("predict", str(tmp_path / "run"), str(pictures))
    assert code == BAD_CHECKPOINT
    assert "has saved no model yet; let it go on with `fusionkit fit --resume`" in err


def test_schedule_shows_what_learns_when(piped, tmp_path):
    recipe = str(write_recipe(tmp_path))
    gradual = ("--set", "branches.a.freeze={gradual: {start: 1, every: 1}}", "--epochs", "3")
    code, out, err = piped("schedule", recipe, *gradual)
    assert (code, err) == (0, "")
    for word in ("stem", "body", "top", "head"):
        assert word in out


def test_schedule_draws_into_a_file(piped, tmp_path):
    pytest.importorskip("matplotlib")
    recipe = str(write_recipe(tmp_path))
    code, _, err = piped("schedule", recipe, "--out", str(tmp_path / "plan.svg"))
    assert code == 0
    assert err.strip() == f"drawn into {tmp_path / 'plan.svg'}"
    assert "<svg" in (tmp_path / "plan.svg").read_text()
