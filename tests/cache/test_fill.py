"""What is missing is computed in one pass, and what has drifted is dropped."""

from __future__ import annotations

import warnings

import pytest
import torch
from cached_toys import COUNT, model_of, samples_of, write_image, write_images

import fusionkit as fk
from fusionkit.cache.branch import BranchCache, CacheFullError
from fusionkit.cache.compute import Compute
from fusionkit.cache.fill import drop_drifted, fill
from fusionkit.cache.rows import row_key
from fusionkit.data import PreparedDataset

KEYS = [row_key(str(number), "") for number in range(COUNT)]


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / "images")


@pytest.fixture
def compute(images) -> Compute:
    model = model_of()
    return Compute(model, PreparedDataset(samples_of(images), model))


@pytest.fixture
def caches(tmp_path) -> dict[str, BranchCache]:
    return {
        name: BranchCache(name, tmp_path / name, dtype=None, make_room=lambda *_: None)
        for name in ("a", "b")
    }


def filled(compute, caches, positions=range(COUNT), check_fits=lambda _: None, **options):
    return fill(compute, caches, KEYS, positions, batch_size=4, check_fits=check_fits, **options)


def test_all_branches_are_filled_from_one_decode(compute, caches, monkeypatch):
    reads = []
    real = Compute.read
    monkeypatch.setattr(
        Compute, "read", lambda self, *each: reads.append(each) or real(self, *each)
    )
    assert filled(compute, caches) == ({}, {})
    assert [(sorted(names), list(positions)) for names, positions, _ in reads] == [
        (["a", "b"], list(range(COUNT)))
    ]
    assert [len(cache) for cache in caches.values()] == [COUNT, COUNT]
    assert filled(compute, caches) == ({}, {})
    assert len(reads) == 1


def test_only_what_is_missing_of_each_branch_is_kept(compute, caches):
    filled(compute, {"a": caches["a"]}, [1, 2])
    told = []
    filled(compute, caches, [1, 2, 3], on_progress=lambda *each: told.append(each))
    assert told == [(3, 3)]
    assert caches["a"].missing(KEYS) == caches["b"].missing(KEYS) == [0, *range(4, COUNT)]
    told.clear()
    filled(compute, caches, [1, 2, 3], on_progress=lambda *each: told.append(each))
    assert told == []


def test_rows_are_the_features_of_their_samples(compute, caches):
    filled(compute, caches)
    (batch,) = compute.read(["a"], [8, 3], 2)
    expected = compute.run(["a"], batch.inputs)["a"].vector
    found = caches["a"].table([KEYS[8], KEYS[3]], 10**6).take(torch.arange(2)).vector
    torch.testing.assert_close(found, expected)


def test_f096_a_branch_for_which_there_is_no_room_is_told_before_anything_is_written(
    compute, caches, tmp_path
):
    asked = []

    def refuse(nbytes):
        asked.append(nbytes)
        raise CacheFullError("no room")

    full, _ = filled(compute, caches, check_fits=refuse)
    assert sorted(full) == ["a", "b"]
    assert asked == [16 * 4 * COUNT] * 2
    assert [len(cache) for cache in caches.values()] == [0, 0]


def test_f096_one_full_branch_does_not_stop_the_other(compute, caches):
    def refuse(needed, keep):
        raise CacheFullError("no room")

    caches["a"]._make_room = refuse
    full, _ = filled(compute, caches)
    assert list(full) == ["a"]
    assert len(caches["b"]) == COUNT


def test_rows_that_agree_stay(compute, caches):
    filled(compute, caches)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drop_drifted(compute, caches, KEYS)
    assert len(caches["a"]) == COUNT


def test_f095_rows_that_have_drifted_are_dropped_with_a_warning(compute, caches):
    filled(compute, caches)
    compute.model.branches["a"].top.weight.data.mul_(1.01)
    with pytest.warns(UserWarning, match=r"branch 'a': 4 rows were computed again and differ"):
        drop_drifted(compute, caches, KEYS)
    assert len(caches["a"]) == 0
    assert len(caches["b"]) == COUNT


def test_rounding_is_no_drift(compute, caches):
    filled(compute, caches)
    compute.model.branches["a"].top.weight.data.mul_(1 + 1e-6)
    drop_drifted(compute, caches, KEYS)
    assert len(caches["a"]) == COUNT


def test_damaged_files_are_dropped_when_they_are_compared(compute, caches):
    filled(compute, caches)
    (path,) = caches["a"].folder.glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.warns(UserWarning, match="file is removed"):
        drop_drifted(compute, caches, KEYS)
    assert len(caches["a"]) == 0


def test_samples_that_cannot_be_read_now_are_not_compared(images, caches):
    model = model_of()
    samples = samples_of(images)
    compute = Compute(model, PreparedDataset(samples, model, broken="skip", most_broken=1.0))
    filled(compute, caches)
    for name in samples.ids:
        (images / name).write_bytes(b"")
    drop_drifted(compute, caches, KEYS)
    assert len(caches["a"]) == COUNT
    for number, name in enumerate(samples.ids):
        write_image(images / name, number)


def test_features_of_varying_shapes_are_refused(compute, caches):
    model = model_of(head="odd/maps")
    compute = Compute(model, compute.dataset)
    filled(compute, caches, range(4))
    small = fk.Preprocessing(size=(10, 10))
    raw = dict.fromkeys(("a", "b"), small)
    other = Compute(model, PreparedDataset(compute.dataset.samples, raw))
    filled(other, caches, range(4, 8))
    with pytest.raises(fk.CacheError, match="features of different shapes"):
        caches["a"].table(KEYS[:8], 10**6)
