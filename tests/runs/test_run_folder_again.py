"""The recipe that a run leaves can be run again, from anywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from run_toys import CATALOG, job_of, put_pictures

import fusionkit as fk
from fusionkit.runs.job_file import format_job, read_job
from fusionkit.runs.run_folder import RunFolder


def test_relative_paths_of_data_and_weights_are_left_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    job = job_of(Path("pictures"))
    branches = {
        "a": replace(job.recipe.branches["a"], weights="weights/a.safetensors"),
        "b": replace(job.recipe.branches["b"], weights=fk.Weights("b.safetensors")),
        "c": replace(job.recipe.branches["b"], weights="hf-hub:somebody/pets"),
    }
    run = RunFolder(Path("runs") / "one")
    run.begin(replace(job, recipe=replace(job.recipe, branches=branches)), {}, "")
    left = read_job(run.recipe)
    assert left.data.source == str(tmp_path / "pictures")
    assert left.recipe.branches["a"].weights == str(tmp_path / "weights" / "a.safetensors")
    assert left.recipe.branches["b"].weights == fk.Weights(str(tmp_path / "b.safetensors"))
    assert left.recipe.branches["c"].weights == "hf-hub:somebody/pets"


def test_the_recipe_that_a_run_leaves_is_run_again_from_elsewhere(tmp_path, monkeypatch):
    pytest.importorskip("lightning", reason="needs pip install 'torch-fusionkit[train]'")
    from fusionkit.runs.fit import fit

    put_pictures(tmp_path / "pictures", train=2, val=1)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "job.yaml").write_text(format_job(job_of(Path("pictures"), epochs=1)))
    monkeypatch.chdir(tmp_path)
    first = fit(read_job("job.yaml"), "runs/first", catalog=CATALOG)
    monkeypatch.chdir("elsewhere")
    again = fit(read_job("../runs/first/recipe.yaml"), "again", catalog=CATALOG)
    assert again.score == first.score
