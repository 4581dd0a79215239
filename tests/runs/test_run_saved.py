"""The model that a command was given: a saved one, or the best of a run."""

from __future__ import annotations

import pytest
import torch
from run_toys import CATALOG, job_of

import fusionkit as fk
from fusionkit.errors import CheckpointError
from fusionkit.runs.presented import presented
from fusionkit.runs.run_folder import RunFolder
from fusionkit.runs.saved import load_saved


@pytest.fixture
def model():
    recipe = job_of(None, recipe={"num_classes": 2}).recipe
    return fk.compose(recipe, catalog=CATALOG)


def test_a_model_by_itself_and_the_best_of_a_run(model, tmp_path):
    run = RunFolder(tmp_path / "run")
    run.begin(job_of(None), {}, "")
    with pytest.raises(CheckpointError, match=r"has saved no model yet; .*fit --resume"):
        load_saved(run.path, CATALOG)
    fk.save(model, run.best)
    for folder in (run.path, run.best):
        loaded = load_saved(folder, CATALOG)
        assert loaded.recipe == model.recipe
        for name, value in model.state_dict().items():
            assert torch.equal(loaded.state_dict()[name].cpu(), value), name
    with pytest.raises(CheckpointError, match="there is no folder"):
        load_saved(tmp_path / "nowhere", CATALOG)


def test_a_model_is_presented_with_raw_images_and_then_as_it_was(model):
    before = (model.recipe, model.prepare)
    raw = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    model.eval()
    with torch.no_grad(), presented(model, "inside") as inside:
        assert inside is model
        assert model.recipe.preprocess == "inside"
        answers = model(raw)
    assert (model.recipe, model.prepare) == before
    facts = model.branches["a"].preprocessing
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (facts.mean, facts.std))
    with torch.no_grad():
        torch.testing.assert_close(model((raw / 255 - mean) / std), answers)
    with pytest.raises(ZeroDivisionError), presented(model, "inside"):
        _ = 1 / 0
    assert (model.recipe, model.prepare) == before
