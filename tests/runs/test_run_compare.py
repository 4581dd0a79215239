"""``compare``: what each contender is run with, and what its outcome says."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil

import pytest
from rich.console import Console
from run_toys import CATALOG, job_of, put_pictures

import fusionkit as fk
from fusionkit.heads import plugin as heads
from fusionkit.runs.compare import Compared, compare
from fusionkit.runs.compare_report import draw, tabulate, write_files
from fusionkit.runs.contenders import AS_WRITTEN
from fusionkit.runs.measure import Score

pytest.importorskip("lightning", reason="needs pip install 'torch-fusionkit[train]'")

WITH_HEADS = CATALOG.with_plugin("heads", heads)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return put_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Gives the folder of the cache, a new one."""
    monkeypatch.setenv("FUSIONKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("freeze", "caches"),
    [
        (fk.Freeze.all(), True),
        (fk.Freeze.last(0), True),
        (fk.Freeze.gradual(start=1), True),
        (fk.Freeze.on_plateau("val_loss"), True),
        (fk.Freeze.gradual(start=0), False),
        (fk.Freeze.last(1), False),
        (fk.Freeze.none(), False),
    ],
)
def test_only_what_is_frozen_at_first_is_cached(pictures, tmp_path, cache, freeze, caches):
    job = job_of(pictures, freeze=freeze, other=freeze, epochs=1, cache=True)
    (outcome,) = compare(job, tmp_path / "out", (0,), only=[AS_WRITTEN], catalog=CATALOG)
    assert any(cache.rglob("key.json")) == caches
    assert outcome.scores[0].samples == 6


def test_a_head_that_was_fitted_to_the_samples_it_is_measured_on_is_marked(pictures, tmp_path):
    job = job_of(pictures, head="heads/adaptive", epochs=1)
    only = [AS_WRITTEN, "a alone", "feature extraction"]
    outcomes = compare(job, tmp_path / "out", (0,), only=only, catalog=WITH_HEADS)
    marked = {each.title: each.seen for each in outcomes}
    assert marked == {AS_WRITTEN: True, "a alone": False, "feature extraction": False}
    shown = shown_table(outcomes)
    assert f"{AS_WRITTEN} *" in shown
    assert shown.count("*") == 2
    assert "* its head was fitted to these very samples" in shown
    assert "*" not in shown_table(outcomes[1:])
    write_files(outcomes, tmp_path)
    lines = csv.DictReader((tmp_path / "compare.csv").read_text().splitlines())
    assert [line["seen"] for line in lines] == ["yes", "no", "no"]
    draw(outcomes, tmp_path / "compare.png")
    assert (tmp_path / "compare.png").stat().st_size > 1000


def test_samples_of_a_split_test_are_others_than_the_head_was_fitted_to(tmp_path):
    pictures = put_pictures(tmp_path / "pictures", train=3, val=2)
    shutil.copytree(pictures / "val", pictures / "test")
    job = job_of(pictures, head="heads/adaptive", epochs=1)
    (outcome,) = compare(job, tmp_path / "out", (0,), only=[AS_WRITTEN], catalog=WITH_HEADS)
    assert (outcome.split, outcome.seen) == ("test", False)


def test_a_class_without_samples_is_null_in_the_file(tmp_path):
    score = Score(1, 1.0, 0.1, 1.0, (1.0, math.nan), ((1, 0), (0, 0)), 0.0)
    write_files([Compared("one", False, (0,), (score,), "val", 2, 1, (0.5,))], tmp_path)
    text = (tmp_path / "compare.json").read_text()
    (found,) = json.loads(text, parse_constant=pytest.fail)
    assert found["scores"][0]["by_class"] == [1.0, None]


def shown_table(outcomes):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(tabulate(outcomes))
    return console.export_text()
