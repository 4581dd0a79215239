"""Several processes fill one split; what one has no room for, none has."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
import torch
from cached_toys import COUNT, answers, loader_of, model_of, write_image, write_images
from odd_toys import branch, build

import fusionkit as fk
from fusionkit.cache import FeatureCache, FeatureLoader
from fusionkit.cache.chunk import Chunk, DamagedChunkError, open_chunk
from fusionkit.data import EpochSampler, PreparedDataset, open_samples


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / "images")


TWO = """
    import sys
    sys.path[:0] = sys.argv[3:]
    import torch
    from torch import distributed
    from pathlib import Path
    from cached_toys import loader_of, model_of
    from fusionkit.cache import FeatureCache
    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    store = torch.distributed.FileStore(str(folder / "store"), 2)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    for name, room in (("cache", 10**6), ("small", 10**6 if rank == 0 else 100)):
        cache = FeatureCache(folder / name, max_bytes=room)
        model = model_of()
        loader = loader_of(model, folder / "images", cache, rank=rank, world=2, batch_size=3)
        for epoch in range(2):
            loader.set_epoch(epoch)
            seen = [each for batch in loader for each in batch.ids]
        print(len(seen), *loader.cached, flush=True)
    distributed.destroy_process_group()
"""


def test_f093_f096_two_ranks_fill_a_share_each_and_what_one_has_no_room_for_none_keeps(
    images, tmp_path
):
    paths = [path for path in sys.path if path.endswith(("tests", "tests/cache"))]
    python = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(TWO), str(tmp_path)]
    others = [
        subprocess.Popen(
            [*python, rank, *paths],
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    told = [other.communicate(timeout=120)[0].splitlines() for other in others]
    assert [other.returncode for other in others] == [0, 0]
    half = COUNT // 2
    assert told == [[f"{half} a b", f"{half}"]] * 2
    rows = [len(open_chunk(path).keys) for path in (tmp_path / "cache").rglob("*.safetensors")]
    assert rows == [half] * 4  # no sample was computed twice
    model = model_of()
    found = answers(model, loader_of(model, images, tmp_path / "cache"))
    torch.testing.assert_close(found, answers(model, loader_of(model, images)))


def test_without_the_other_process_one_fills_all(images, tmp_path):
    model = model_of()
    loader = loader_of(model, images, tmp_path / "cache", rank=1, world=2)
    seen = [name for batch in loader for name in batch.ids]
    assert len(seen) == COUNT // 2
    assert all(len(opened.cache) == COUNT for opened in loader._split._opened.values())


def test_a_disk_that_damages_whatever_is_written_is_named(images, tmp_path, monkeypatch):
    def damaged(chunk: Chunk):
        raise DamagedChunkError(chunk.path, "its checksum differs")

    monkeypatch.setattr(Chunk, "read", damaged)
    model = model_of()
    with (
        pytest.warns(UserWarning, match="checksum differs"),
        pytest.raises(fk.CacheError, match="damaged 3 times in a row"),
    ):
        list(loader_of(model, images, tmp_path / "cache"))


def test_rows_lost_in_use_with_no_room_to_write_them_again_are_an_error(images, tmp_path):
    model = model_of()
    cache = FeatureCache(tmp_path / "cache", max_memory=0)
    loader = loader_of(model, images, cache)
    batches = iter(loader)
    next(batches)
    cache.max_bytes = 10
    for path in (tmp_path / "cache").rglob("*.safetensors"):
        path.unlink()
    with (
        pytest.warns(UserWarning, match="the file is removed"),
        pytest.warns(UserWarning, match="goes on without the feature cache"),
        pytest.raises(fk.CacheError, match="lost while they were in use, and cannot be written"),
    ):
        list(batches)


def test_samples_none_of_which_can_be_read_are_an_error(images, tmp_path):
    for path in images.rglob("*.png"):
        path.write_bytes(b"")
    model = model_of()
    loader = loader_of(model, images, tmp_path / "cache", broken="skip")
    loader.dataset._most_broken = COUNT
    with pytest.raises(fk.DataError, match=f"none of the {COUNT} samples can be read"):
        list(loader)


def test_memory_is_shared_between_the_views_and_branches_of_a_loader(images, tmp_path):
    model = model_of()
    cache = FeatureCache(tmp_path / "cache", max_memory=COUNT * 16 * 4)
    loader = loader_of(model, images, cache)
    list(loader)
    tables = [each.tables[None][0].memory for each in loader._split._opened.values()]
    assert sorted(tables) == [0, COUNT * 16 * 4]


def test_a_closed_loader_lets_its_folders_go(images, tmp_path):
    model = model_of()
    cache = FeatureCache(tmp_path / "cache")
    loader = loader_of(model, images, cache)
    list(loader)
    loader.close()
    assert loader._split._opened == {}
    cache.max_bytes = 0
    with pytest.raises(fk.CacheError):
        cache.make_room(1, tmp_path / "cache" / "other")
    cache.max_bytes = 1
    cache.make_room(1, tmp_path / "cache" / "other")
    assert cache.size() == 0


def test_a_sample_broken_for_a_cached_branch_is_left_out_for_all(tmp_path):
    for number in range(4):
        for name in ("rgb", "nir"):
            write_image(tmp_path / "two" / name / "train" / "ab"[number % 2] / f"{number}.png",
                        number)  # fmt: skip
    raw = fk.Preprocessing(size=(16, 16))
    model = build(
        {
            "one": branch("tiny", input="rgb", freeze=fk.Freeze.all(), preprocessing=raw),
            "two": branch("tiny", input="nir", freeze=fk.Freeze.none(), preprocessing=raw),
        },
        "odd/sum",
        2,
    )
    samples = open_samples(tmp_path / "two", "train", inputs=("rgb", "nir"))
    samples[0].inputs["rgb"].write_bytes(b"")
    told = []
    for cache in (None, tmp_path / "cache"):
        dataset = PreparedDataset(samples, model, broken="skip")
        sampler = EpochSampler(4, 2, shuffle=False)
        (first, second) = FeatureLoader(model, dataset, sampler, cache=cache)
        told.append((first.ids, first.labels.tolist(), [name for name, _ in first.broken]))
        assert len(first.inputs["two"]) == 1
        assert len(second) == 2
        model(first.inputs, first.features)
    assert told[0] == told[1]
    dataset = PreparedDataset(samples, model, broken="skip")
    loader = FeatureLoader(
        model, dataset, EpochSampler(4, 1, shuffle=False), cache=tmp_path / "cache"
    )
    assert sum(not len(batch) for batch in loader.read()) == 1
    assert all(len(batch) for batch in loader)
