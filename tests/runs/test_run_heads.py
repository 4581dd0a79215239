"""Heads that are fitted to all samples at once, and cached features, through ``fit``."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from run_toys import CATALOG, job_of, put_pictures
from torch.testing import assert_close

import fusionkit as fk
from fusionkit.cache.fill import COMPARED
from fusionkit.data import prepare
from fusionkit.data.decoding import decode
from fusionkit.errors import CacheError, TrainingError
from fusionkit.heads import plugin as heads
from fusionkit.runs.evaluate import evaluate
from fusionkit.runs.fit import fit

pytest.importorskip("lightning", reason="needs pip install 'torch-fusionkit[train]'")

FROZEN = fk.Freeze.all()
WITH_HEADS = CATALOG.with_plugin("heads", heads)


class BareHead(fk.FusionHead):
    """Takes the first values of the vectors for scores, and has nothing to learn."""

    def __init__(self, inputs, *, num_classes: int) -> None:
        super().__init__()
        self.reads, self.num_classes = "vector", num_classes

    def forward(self, features):
        return sum(each.vector for each in features.values())[:, : self.num_classes]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return put_pictures(tmp_path_factory.mktemp("pictures"), train=6, val=5)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Gives the folder of the cache, a new one."""
    monkeypatch.setenv("FUSIONKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def differing(one, other):
    ours, theirs = one.model.state_dict(), other.model.state_dict()
    assert ours.keys() == theirs.keys()
    return [name for name in ours if not torch.equal(ours[name], theirs[name])]


def test_a_fitted_head_over_frozen_branches_takes_no_gradient(pictures, tmp_path):
    job = job_of(pictures, freeze=FROZEN, head="heads/adaptive")
    fitted = fit(job, tmp_path / "out", catalog=WITH_HEADS)
    assert (fitted.epoch, fitted.epochs, fitted.fitted_on) == (-1, 0, "train")
    assert not (fitted.folder / "metrics.csv").exists()
    assert not (fitted.folder / "tensorboard").exists()
    assert fitted.score.accuracy > 0.8  # bright and dark pictures
    size = job.training.batch_size  # batches of another size may be rounded otherwise
    again = evaluate(fitted.folder, pictures, batch_size=size, catalog=WITH_HEADS)
    assert again == fitted.score
    train = evaluate(fitted.folder, pictures, "train", catalog=WITH_HEADS)
    assert train.samples == 12
    assert fit(job, fitted.folder, resume=True, catalog=WITH_HEADS).score == fitted.score


def test_where_branches_learn_the_head_is_fitted_to_what_was_held_out(pictures, tmp_path):
    job = job_of(pictures, head="heads/adaptive", epochs=1)
    fitted = fit(job, tmp_path / "auto", catalog=WITH_HEADS)
    assert (fitted.epoch, fitted.epochs, fitted.fitted_on) == (0, 1, "val")
    assert json.loads((fitted.folder / "result.json").read_text())["fitted_on"] == "val"
    card = (fitted.folder / "best" / "README.md").read_text()
    assert f"On {pictures.name}, samples held out, to which the head was fitted:" in card
    ended = fit(job, fitted.folder, resume=True, catalog=WITH_HEADS)
    assert (ended.fitted_on, ended.left_out) == ("val", ())
    said = fit(
        replace(job, training=replace(job.training, fit_head="val")),
        tmp_path / "val",
        catalog=WITH_HEADS,
    )
    assert differing(fitted, said) == []
    assert evaluate(fitted.folder, pictures, catalog=WITH_HEADS) == fitted.score


def test_a_head_that_could_be_fitted_may_be_trained_instead(pictures, tmp_path):
    job = job_of(pictures, freeze=FROZEN, head="heads/adaptive", epochs=1, fit_head="never")
    fitted = fit(job, tmp_path / "out", catalog=WITH_HEADS)
    assert (fitted.epoch, fitted.epochs, fitted.fitted_on) == (0, 1, None)


def test_a_head_without_weights_over_frozen_branches_is_nothing_to_train(pictures, tmp_path):
    job = job_of(pictures, freeze=FROZEN, head="bare/head")
    offer = SimpleNamespace(fusionkit_heads=fk.hookimpl(lambda: {"head": BareHead}))
    with pytest.raises(TrainingError, match=r"every branch is frozen and the head has no weights"):
        fit(job, tmp_path / "out", catalog=CATALOG.with_plugin("bare", offer))


def test_cached_features_give_the_same_result(pictures, tmp_path, cache):
    plain = fit(job_of(pictures, freeze=FROZEN), tmp_path / "plain", catalog=CATALOG)
    assert not cache.exists()
    cached = fit(job_of(pictures, freeze=FROZEN, cache=True), tmp_path / "cached", catalog=CATALOG)
    assert any(cache.rglob("key.json"))
    assert cached.score.accuracy == plain.score.accuracy
    assert_close(cached.score.loss, plain.score.loss, rtol=1e-5, atol=1e-6)
    for name, value in plain.model.state_dict().items():
        assert_close(cached.model.state_dict()[name], value, rtol=1e-4, atol=1e-6)


def test_what_is_cached_is_not_decoded_again(pictures, tmp_path, cache, monkeypatch):
    job = job_of(pictures, freeze=FROZEN, cache=True)
    decoded = []

    def decode_and_count(*arguments):
        decoded.append(arguments[0])
        return decode(*arguments)

    monkeypatch.setattr(prepare, "decode", decode_and_count)
    first = fit(job, tmp_path / "first", catalog=CATALOG)
    assert set(decoded) == set(pictures.rglob("*.png"))
    decoded.clear()
    second = fit(job, tmp_path / "second", catalog=CATALOG)
    assert len(set(decoded)) <= 2 * COMPARED  # of each split some: has anything drifted?
    assert differing(first, second) == []
    assert first.score == second.score


def test_a_branch_that_thaws_leaves_the_cache(pictures, tmp_path, cache):
    gradual = fk.Freeze.gradual(start=1, every=1)
    plain = fit(job_of(pictures, freeze=gradual), tmp_path / "plain", catalog=CATALOG)
    job = job_of(pictures, freeze=gradual, cache=True)
    cached = fit(job, tmp_path / "cached", catalog=CATALOG)
    assert_close(cached.score.loss, plain.score.loss, rtol=1e-3, atol=1e-4)
    learn = []
    with (cached.folder / "metrics.csv").open() as file:
        learn = [int(line["trainable"]) for line in csv.DictReader(file)]
    assert learn[0] < learn[1]


def test_a_fitted_head_is_fitted_to_cached_features(pictures, tmp_path, cache):
    job = job_of(pictures, freeze=FROZEN, head="heads/adaptive")
    plain = fit(job, tmp_path / "plain", catalog=WITH_HEADS)
    kept = replace(job, training=replace(job.training, cache=True))
    cached = fit(kept, tmp_path / "cached", catalog=WITH_HEADS)
    assert cached.score.accuracy == plain.score.accuracy
    assert_close(cached.score.loss, plain.score.loss, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("a", [FROZEN, fk.Freeze.last(1)])
def test_a_head_is_fitted_in_single_precision_whatever_was_cached(pictures, tmp_path, cache, a):
    mixed = {"head": "heads/adaptive", "epochs": 1, "precision": "bf16-mixed"}
    plain = fit(job_of(pictures, freeze=a, **mixed), tmp_path / "plain", catalog=WITH_HEADS)
    job = job_of(pictures, freeze=a, cache=True, **mixed)
    cached = fit(job, tmp_path / "cached", catalog=WITH_HEADS)
    assert_close(cached.score.loss, plain.score.loss, rtol=1e-3, atol=1e-4)
    said = evaluate(cached.folder, pictures, catalog=WITH_HEADS)
    assert_close(said.loss, cached.score.loss, rtol=1e-5, atol=1e-6)


def test_nothing_to_cache_is_refused(pictures, tmp_path, cache):
    job = job_of(pictures, other=fk.Freeze.none(), cache=True)
    with pytest.raises(CacheError, match=r"branch '.' cannot be cached: .* learn at epoch 0"):
        fit(job, tmp_path / "out", catalog=CATALOG)
