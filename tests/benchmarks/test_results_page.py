"""The page of results: its commands, and what it says of outcomes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from fusionkit.runs.job_file import read_job

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def outcome(accuracy: float, *command: str, loss: float = 0.5):
    from results_page.runs import Outcome

    return Outcome(command, accuracy, loss, seconds=2.0, cpu=3.0, wall=4.0)


def test_every_row_is_a_job_that_fit_takes(tmp_path):
    from results_page.studies import STUDIES, branch_settings, narrow

    for study in STUDIES:
        whole = read_job(ROOT / "examples" / study.recipe)
        assert set(study.weights) == set(whole.recipe.branches)
        for rows in study.rows.values():
            assert sum(row.alone for row in rows) == len(study.weights)
            for row in rows:
                recipe = narrow(ROOT / "examples" / study.recipe, row, tmp_path)
                settings = [*branch_settings(study, row, Path("/weights")), *row.settings]
                job = read_job(recipe, settings)
                assert tuple(job.recipe.branches) == (row.branches or tuple(study.weights))
                for name, branch in job.recipe.branches.items():
                    weights = f"/weights/{study.weights[name]}.safetensors"
                    assert str(getattr(branch.weights, "source", branch.weights)) == weights
                    of_tensorflow = branch.options.get("pad_type") == "same"
                    assert of_tensorflow == ("mobilenet" in weights)
                    if of_tensorflow:
                        assert branch.preprocessing.mean[0] == pytest.approx(128 / 255, abs=1e-5)


def test_a_narrowed_recipe_has_the_branch_and_all_else(tmp_path):
    from results_page.studies import Row, narrow

    recipe = ROOT / "examples" / "ants_bees.yaml"
    assert narrow(recipe, Row("both"), tmp_path) == recipe
    written = yaml.safe_load(narrow(recipe, Row("one", ("quick",)), tmp_path).read_text())
    before = yaml.safe_load(recipe.read_text())
    assert list(written["branches"]) == ["quick"]
    assert {**written, "branches": None} == {**before, "branches": None}


def test_a_section_has_means_differences_and_the_command():
    from results_page.page import format_study
    from results_page.studies import Row, Study

    study = Study("Title", "About.", "r.yaml", "images", {}, {})
    both, one, two = Row("both"), Row("`a` alone", ("a",)), Row("`b` alone", ("b",))
    command = ("fusionkit", "fit", "/here/r.yaml", "--set", "head=concat", "--set", "x={a: 1}")
    found = {
        "Group": {
            both: [outcome(0.9, *command), outcome(0.8, *command, loss=0.7)],
            one: [outcome(0.7), outcome(0.7)],
            two: [outcome(0.8), outcome(0.7)],
        }
    }
    text = format_study(study, found, {Path("/here"): "examples"})
    assert "| both | 0.850 ± 0.071 (0.900, 0.800) | +0.100 | 0.600 | 2.0 s | 3.0 s |" in text
    assert "| `a` alone | 0.700 ± 0.000 (0.700, 0.700) | -0.050 |" in text
    assert "| `b` alone | 0.750 ± 0.071 (0.800, 0.700) | best alone |" in text
    assert "\n<!-- not run: it trains" in text
    assert (
        "fusionkit fit examples/r.yaml \\\n    --set head=concat \\\n    --set 'x={a: 1}'" in text
    )


def test_the_page_says_what_wrote_it():
    from results_page.page import format_page

    text = format_page(["## One"], "python benchmarks/write_results.py", range(3))
    assert text.startswith("<!-- written by python benchmarks/write_results.py -->\n")
    assert "0, 1, 2" in text
    assert text.endswith("## One")


def test_what_has_run_is_not_run_again(tmp_path, monkeypatch):
    from results_page import runs
    from results_page.studies import Row, Study

    study = Study("Title", "About.", "ants_bees.yaml", "images", {}, {})
    ran: list[list[str]] = []

    def pretend(command: list[str], out: Path):
        ran.append(command)
        out.mkdir(parents=True)
        return outcome(0.5, *command)

    monkeypatch.setattr(runs, "_run", pretend)
    for _ in range(2):
        found = runs.run_row(study, Row("both", (), ("a=1",)), tmp_path, tmp_path / "r", range(2))
    assert len(ran) == 2
    assert [each.accuracy for each in found] == [0.5, 0.5]
    assert ran[1][-4:] == ["--seed", "1", "--set", "a=1"]


def test_a_command_that_fails_is_shown(tmp_path):
    from results_page.runs import _run

    with pytest.raises(SystemExit, match=r"no_such_module 1\nends with 1:\n.*no_such_module"):
        _run(["no_such_module", "1"], tmp_path)
