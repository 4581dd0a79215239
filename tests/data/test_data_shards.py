"""Tar shards: each sample once among all workers and processes, and the same batches."""

from __future__ import annotations

import io
import sys
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from data_pictures import SMALL, noise

import fusionkit as fk
from fusionkit.data import Augment, PreparedStream, ShardedSamples, build_loader, open_samples

pytest.importorskip("webdataset")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:webdataset")

CLASSES = ("cat", "dog")


def encoded(seed: int) -> bytes:
    file = io.BytesIO()
    noise(seed=seed).save(file, "PNG")
    return file.getvalue()


def write_shards(folder: Path, shards: int = 4, each: int = 3, **extra: bytes) -> str:
    for shard in range(shards):
        with tarfile.open(folder / f"pets-{shard:02}.tar", "w") as tar:
            for row in range(each):
                number = shard * each + row
                files = {"png": encoded(number), "cls": CLASSES[number % 2].encode(), **extra}
                for suffix, data in files.items():
                    info = tarfile.TarInfo(f"{number:04}.{suffix}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    return f"{folder}/pets-{{00..{shards - 1:02}}}.tar"


def test_a_shard_holds_samples_by_name(tmp_path: Path):
    samples = ShardedSamples(write_shards(tmp_path), CLASSES)
    rows = list(samples.read())
    assert len(rows) == 12
    assert rows[1].id == "pets-00.tar/0001"
    assert rows[1].label == 1
    assert rows[1].inputs["image"].data == encoded(1)
    assert len(samples.shards) == 4
    assert ShardedSamples(str(tmp_path / "*.tar"), CLASSES).shards == samples.shards
    assert ShardedSamples(samples.shards, CLASSES).shards == samples.shards


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("world", [1, 2])
def test_f086_no_sample_comes_twice_whatever_the_workers_and_processes(
    tmp_path: Path, workers: int, world: int
):
    samples = ShardedSamples(write_shards(tmp_path), CLASSES)
    given = Counter[str]()
    for rank in range(world):
        stream = PreparedStream(samples, {"a": SMALL}, rank=rank, world=world)
        for batch in build_loader(stream, 2, workers=workers):
            given.update(batch.ids)
    assert len(given) == 12
    assert set(given.values()) == {1}


def test_f086_iterable_datasets_of_others_are_refused():
    class Four(torch.utils.data.IterableDataset[int]):
        def __iter__(self) -> Any:
            return iter(range(4))

    with pytest.raises(fk.ConfigError, match="Four can only be iterated: several workers"):
        open_samples(Four())


def test_batches_are_as_from_files(tmp_path: Path):
    stream = PreparedStream(ShardedSamples(write_shards(tmp_path), CLASSES), {"a": SMALL})
    batch = next(iter(build_loader(stream, 4)))
    assert batch.ids[3] == "pets-01.tar/0003"
    assert batch.labels is not None
    assert batch.labels.tolist() == [0, 1, 0, 1]
    normalised = fk.data.Normalise({"a": SMALL})(batch.inputs)["a"]
    assert torch.equal(normalised[2], SMALL.transform()(noise(seed=2)))


def test_all_processes_have_equally_many_batches_where_a_length_is_given(tmp_path: Path):
    write_shards(tmp_path, 3)
    samples = ShardedSamples(str(tmp_path / "*.tar"), CLASSES)  # 6 samples for one, 3 for the other
    counts = []
    for rank in range(2):
        stream = PreparedStream(samples, {"a": SMALL}, length=10, rank=rank, world=2)
        counts.append([len(batch) for batch in build_loader(stream, 2)])
    assert counts == [[2, 2, 1], [2, 2, 1]]
    whole = PreparedStream(samples, {"a": SMALL}, length=5, drop_last=True)
    assert [len(batch) for batch in build_loader(whole, 2)] == [2, 2]


def test_order_and_augmentation_depend_on_seed_and_epoch(tmp_path: Path):
    samples = ShardedSamples(write_shards(tmp_path), CLASSES, shuffle=5, seed=1)

    def epoch(number: int) -> list[Any]:
        stream = PreparedStream(samples, {"a": SMALL}, augment=Augment())
        loader = build_loader(stream, 12)
        loader.set_epoch(number)
        return list(loader)

    (first,), (again,), (second,) = epoch(0), epoch(0), epoch(1)
    assert first.ids == again.ids
    assert torch.equal(first.inputs["a"], again.inputs["a"])
    assert sorted(second.ids) == sorted(first.ids)
    assert second.ids != first.ids


def test_several_inputs_and_texts(tmp_path: Path):
    shards = write_shards(tmp_path, 1, 1, **{"nir.png": encoded(9), "txt": b"a cat"})
    inputs = {"rgb": ("jpg", "png"), "nir": "nir.png", "caption": "txt"}
    (row,) = ShardedSamples(shards, CLASSES, inputs=inputs).read()
    assert row.inputs["nir"].data == encoded(9)
    assert row.inputs["caption"] == "a cat"
    assert ShardedSamples(shards, CLASSES, inputs=("nir",)).input_names == ("nir",)
    (row,) = ShardedSamples(shards, CLASSES, inputs=("nir",), label=None).read()
    assert row.label is None


def test_f085_broken_images_stop_or_are_skipped(tmp_path: Path):
    shards = write_shards(tmp_path, 1, 1, **{"nir.png": b""})
    samples = ShardedSamples(shards, CLASSES, inputs={"image": "nir.png"})
    with pytest.raises(fk.DataError, match=r"pets-00.tar/0000.nir.png is empty"):
        list(PreparedStream(samples, {"a": SMALL}))
    (skipped,) = PreparedStream(samples, {"a": SMALL}, broken="skip")
    assert skipped.broken is not None
    with pytest.raises(fk.DataError, match="1 samples cannot be read, more than the 0 that may be"):
        list(PreparedStream(samples, {"a": SMALL}, broken="skip", most_broken=0))


def test_what_is_wrong_is_named_with_its_shard(tmp_path: Path):
    shards = write_shards(tmp_path, 1, 1)
    with pytest.raises(
        fk.DataError, match=r"0000 has no input 'image', a file .jpg; it has png, c"
    ):
        list(ShardedSamples(shards, CLASSES, inputs={"image": "jpg"}).read())
    with pytest.raises(fk.DataError, match=r"0000 has no label, a file .json"):
        list(ShardedSamples(shards, CLASSES, label="json").read())
    with pytest.raises(fk.DataError, match=r"pets-00.tar/0000: the label 'cat' is none"):
        list(ShardedSamples(shards, ("eel",)).read())
    with pytest.raises(fk.DataError, match=r"there is no shard .*none-1.tar"):
        ShardedSamples(str(tmp_path / "none-{1..2}.tar"))
    with pytest.raises(fk.DataError, match=r"there are no shards .*none"):
        ShardedSamples(str(tmp_path / "none*.tar"))
    path = tmp_path / "pets-00.tar"
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(fk.DataError, match=r"cannot read the shard .*pets-00.tar: ReadError"):
        list(ShardedSamples(shards, CLASSES).read())


def test_too_many_workers_for_the_shards(tmp_path: Path):
    samples = ShardedSamples(write_shards(tmp_path, 2, 1), CLASSES)
    stream = PreparedStream(samples, {"a": SMALL}, world=2)
    with pytest.raises(fk.ConfigError, match="2 shards cannot be shared by 2 workers in each of 2"):
        build_loader(stream, 2, workers=2)
    with pytest.raises(fk.ConfigError, match="2 shards cannot be shared by 3 workers"):
        samples.read(parts=3)


def test_bad_options(tmp_path: Path):
    shards = write_shards(tmp_path, 1, 1)
    with pytest.raises(fk.ConfigError, match="a shard is a file or an address, not a command"):
        ShardedSamples("pipe:cat x.tar")
    with pytest.raises(fk.ConfigError, match="shuffle is a number of samples from 0"):
        ShardedSamples(shards, shuffle=-1)
    samples = ShardedSamples(shards, CLASSES)
    for options, message in (
        ({"broken": "no"}, "broken is 'stop' or 'skip'"),
        ({"length": 0}, "length must be at least 1"),
        ({"rank": 1}, "rank 1 is none of 1 processes"),
    ):
        with pytest.raises(fk.ConfigError, match=message):
            PreparedStream(samples, {"a": SMALL}, **options)  # type: ignore[arg-type]
    with pytest.raises(fk.ConfigError, match="'a' reads the input 'rgb', but the samples have 'im"):
        PreparedStream(samples, {"a": fk.data.Preparation("rgb", SMALL)})
    with pytest.raises(fk.ConfigError, match="a stream is loaded in batches of a size, at least 1"):
        build_loader(PreparedStream(samples, {"a": SMALL}), 0)


def test_the_library_is_named_where_it_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    samples = ShardedSamples(write_shards(tmp_path, 1, 1), CLASSES)
    monkeypatch.setitem(sys.modules, "webdataset.tariterators", None)
    with pytest.raises(fk.ConfigError, match="pip install webdataset"):
        list(samples.read())
