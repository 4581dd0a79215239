"""What a run's folder may hold when a run begins, and what is written into it."""

from __future__ import annotations

import json

import pytest
from run_toys import job_of

from fusionkit.errors import ConfigError, DataError
from fusionkit.runs.job_file import read_job
from fusionkit.runs.run_folder import RunFolder


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "run")


def test_what_is_written_can_be_read(run):
    assert run.read_identity() is None
    assert run.read_result() is None
    job = job_of(None, recipe={"num_classes": 2})
    run.begin(job, {"seed": 3}, "a table")
    assert read_job(run.recipe) == job
    assert run.read_identity() == {"seed": 3}
    assert (run.path / "schedule.txt").read_text() == "a table\n"
    environment = json.loads((run.path / "environment.json").read_text())
    assert {"fusionkit", "python", "packages", "cores"} <= set(environment)
    run.end({"accuracy": 0.5})
    assert run.read_result() == {"accuracy": 0.5}
    assert not [path for path in run.path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("kept", ["states/step-00000003", "states/damaged-step-00000003", "best"])
def test_a_run_that_has_learned_is_not_begun_anew(run, kept):
    run.begin(job_of(None), {}, "")
    run.refuse_used(resume=False)
    (run.path / kept).mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"holds a run already; go on with it by --resume, or"):
        run.refuse_used(resume=False)
    run.refuse_used(resume=True)


def test_what_an_empty_handed_run_left_is_replaced(run):
    run.begin(job_of(None), {"seed": 1}, "")
    run.figures.write_text("old")
    run.events.mkdir()
    (run.events / "events.out.tfevents.1.host.2.0").write_text("old")
    run.begin(job_of(None), {"seed": 2}, "")
    assert run.read_identity() == {"seed": 2}
    assert not run.figures.exists()
    assert list(run.events.iterdir()) == []


def test_a_folder_of_other_files_is_refused_even_to_resume(run):
    run.path.mkdir()
    (run.path / "notes.txt").write_text("")
    for resume in (False, True):
        with pytest.raises(ConfigError, match=r"holds other files \(notes\.txt\); choose another"):
            run.refuse_used(resume=resume)


def test_notes_beside_a_run_do_no_harm(run):
    run.begin(job_of(None), {}, "")
    (run.path / "notes.txt").write_text("")
    run.refuse_used(resume=False)


def test_where_it_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot write .*file/run: Not a directory"):
        RunFolder(tmp_path / "file" / "run").begin(job_of(None), {}, "")
    with pytest.raises(ConfigError, match="is no folder; choose another with --out"):
        RunFolder(tmp_path / "file").refuse_used(resume=False)
