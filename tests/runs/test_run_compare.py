"""``compare``: what each contender is run with, and what its outcome says."""

from __future__ import annotations

import pytest
from run_toys import CATALOG, job_of, put_pictures

import fusionkit as fk
from fusionkit.heads import plugin as heads
from fusionkit.runs.compare import compare
from fusionkit.runs.contenders import AS_WRITTEN

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
