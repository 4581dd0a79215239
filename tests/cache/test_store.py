"""The cache finds what is the same, misses what is not, and stays within its bounds."""

from __future__ import annotations

import json
import os

import pytest
import torch
from odd_toys import branch, build
from toys import perturb

import fusionkit as fk
from fusionkit.cache import store
from fusionkit.cache.branch import CacheFullError
from fusionkit.cache.rows import row_key
from fusionkit.cache.store import FeatureCache, open_cache


def model(seed: int = 0) -> fk.FusedModel:
    built = build({"a": branch("tiny", freeze=fk.Freeze.all())})
    perturb(built, seed)
    return built


def fill(cache, built, count=10, preparation="p"):
    rows = cache.open_branch(built, "a", preparation=preparation)
    keys = [row_key(str(name), "") for name in range(count)]
    rows.put(keys, fk.Features(torch.ones(count, 100)))
    rows.flush()
    return rows


def test_a_branch_finds_its_rows_again_and_another_does_not(tmp_path):
    torch.manual_seed(0)
    built = model()
    fill(FeatureCache(tmp_path), built).close()
    assert len(FeatureCache(tmp_path).open_branch(built, "a", preparation="p")) == 10
    assert len(FeatureCache(tmp_path).open_branch(built, "a", preparation="q")) == 0
    with torch.no_grad():
        built.branches["a"].top.bias[0] += 1e-6
    assert len(FeatureCache(tmp_path).open_branch(built, "a", preparation="p")) == 0


def test_each_folder_says_what_it_belongs_to(tmp_path):
    cache = FeatureCache(tmp_path, dtype=torch.float16)
    built = model()
    rows = fill(cache, built)
    said = json.loads((rows.folder / "key.json").read_text(encoding="utf-8"))
    assert said == cache.key(built, "a", preparation="p")
    assert said["backbone"] == "odd/tiny"
    assert said["kept"] == "F16"


def test_what_was_used_longest_ago_goes_first_and_what_is_in_use_never(tmp_path):
    cache = FeatureCache(tmp_path, max_bytes=15_000)
    built = model()
    kept = [fill(cache, built, preparation=name) for name in "abc"]
    for age, rows in enumerate(kept):
        os.utime(rows.folder / "used", (1000 + age, 1000 + age))
        rows.close()
    held = cache.open_branch(built, "a", preparation="a")
    assert cache.size() > 12_000
    fill(cache, built, preparation="d").close()
    assert [rows.folder.exists() for rows in kept] == [True, False, True]
    assert cache.size() <= 15_000
    held.close()


def test_where_what_is_in_use_takes_all_the_room_nothing_more_is_kept(tmp_path):
    cache = FeatureCache(tmp_path, max_bytes=10_000)
    built = model()
    first = fill(cache, built, preparation="a")
    fill(cache, built, preparation="b")
    with pytest.raises(CacheFullError, match=r"may take 10,000 bytes.*max_bytes=\.\.\."):
        fill(cache, built, preparation="c")
    assert len(first.missing([row_key("0", "")])) == 0


def test_a_branch_too_large_by_itself_removes_nothing_of_others(tmp_path):
    cache = FeatureCache(tmp_path, max_bytes=10_000)
    built = model()
    fill(cache, built, preparation="a").close()
    with pytest.raises(CacheFullError):
        fill(cache, built, count=100, preparation="b")
    assert len(cache.open_branch(built, "a", preparation="a")) == 10
    with pytest.raises(CacheFullError, match="would take 20,000 bytes"):
        cache.check_fits(20_000)
    FeatureCache(tmp_path, max_bytes=None).check_fits(10**18)
    fill(FeatureCache(tmp_path, max_bytes=None), built, count=100, preparation="b")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    cache = FeatureCache(tmp_path / "file")
    with pytest.raises(fk.CacheError, match=r"cannot keep features in .*file: .*cache=False"):
        cache.open_branch(model(), "a", preparation="p")


def test_f096_a_disk_too_full_for_the_first_file_is_full(tmp_path, monkeypatch):
    def full(path, text):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(store, "write_text", full)
    with pytest.raises(CacheFullError, match=r"cannot keep features in .*: the disk is full"):
        FeatureCache(tmp_path).open_branch(model(), "a", preparation="p")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_bytes": -1}, "max_bytes is a number of bytes, got -1"),
        ({"max_memory": "1 GB"}, "max_memory is a number of bytes, got '1 GB'"),
        ({"dtype": torch.int8}, "dtype is torch.float16, torch.bfloat16, torch.float32 or None"),
    ],
)
def test_settings_that_are_none_are_refused(settings, message):
    with pytest.raises(fk.ConfigError, match=message):
        FeatureCache("x", **settings)


def test_one_argument_names_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FUSIONKIT_CACHE", str(tmp_path / "default"))
    assert open_cache(None) is None
    assert open_cache(False) is None
    assert open_cache(True).folder == tmp_path / "default"
    assert open_cache(tmp_path / "x").folder == tmp_path / "x"
    assert open_cache(str(tmp_path / "x")).folder == tmp_path / "x"
    cache = FeatureCache(tmp_path)
    assert open_cache(cache) is cache
    with pytest.raises(fk.ConfigError, match="cache is True, False, a folder or a FeatureCache"):
        open_cache(3)


def test_a_folder_that_there_is_not_yet_has_no_size(tmp_path):
    assert FeatureCache(tmp_path / "x").size() == 0
