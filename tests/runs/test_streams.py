"""Shards are the samples of a run as folders are, but for what a stream cannot do."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toys import toy_catalog

import fusionkit as fk
from fusionkit.runs.loaders import count_batches, train_loader, val_loader
from fusionkit.runs.samples import open_job_samples
from fusionkit.runs.settings import DataSettings, Job, TrainingSettings
from fusionkit.runs.shard_counts import count_samples
from fusionkit.runs.streams import is_sharded, shard_splits

pytest.importorskip("webdataset", reason="shards are read by webdataset, of the extra 'dev'")


def write_shards(folder: Path, split: str, count: int, shards: int = 2) -> None:
    (folder / split).mkdir(parents=True)
    (folder / "classes.txt").write_text("dark\nlight\n")
    dice = np.random.default_rng(len(split))
    for shard in range(shards):
        with tarfile.open(folder / split / f"{shard}.tar", "w") as tar:
            for number in range(shard, count, shards):
                pixels = dice.integers(0, 100, (16, 16, 3)) + 120 * (number % 2)
                png = io.BytesIO()
                Image.fromarray(pixels.astype("uint8")).save(png, "PNG")
                for suffix, data in (("png", png.getvalue()), ("cls", b"%d" % (number % 2))):
                    info = tarfile.TarInfo(f"{split}/{number:04}.{suffix}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))


@pytest.fixture
def job(tmp_path: Path) -> Job:
    write_shards(tmp_path, "train", 10)
    write_shards(tmp_path, "val", 5)
    how = fk.Preprocessing(size=(8, 8))
    branch = fk.Branch("toy/tiny", weights=None, preprocessing=how, freeze=fk.Freeze.last(1))
    recipe = fk.Recipe({"a": branch}, fk.Head("toy/sum"), 2)
    return Job(recipe, DataSettings(source=str(tmp_path)), TrainingSettings(batch_size=4, epochs=2))


def model_of(job: Job) -> fk.FusedModel:
    return fk.compose(job.recipe, catalog=toy_catalog())


def test_what_is_sharded(job: Job, tmp_path: Path) -> None:
    assert is_sharded(str(tmp_path))
    assert is_sharded("pets-{0..3}.tar")
    assert not is_sharded(str(tmp_path / "nothing"))
    assert shard_splits(str(tmp_path)) == ("train", "val")


def test_a_job_says_whether_pixels_are_exact(job: Job, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for split in ("train", "val"):
        for title in ("dark", "light"):
            (folder / split / title).mkdir(parents=True)
            Image.new("RGB", (16, 16)).save(folder / split / title / "1.png")
    for source in (tmp_path, folder):
        for exact in (True, False):
            mine = replace(job, data=replace(job.data, source=str(source), exact=exact))
            samples, model = open_job_samples(mine), model_of(mine)
            for loader in (
                train_loader(mine, model, samples.train, cache=None),
                val_loader(mine, model, samples.val, cache=None),
            ):
                dataset = loader._loader.dataset if hasattr(loader, "_loader") else loader.dataset
                assert dataset.prepare.preparations["a"].exact is exact


def test_samples_and_classes_are_those_of_the_folder(job: Job) -> None:
    samples = open_job_samples(job)
    assert samples.train.classes == ("dark", "light")
    assert (count_samples(samples.train), count_samples(samples.val)) == (10, 5)
    assert not samples.held_out


@pytest.mark.parametrize("workers", [0, 2])
def test_the_length_is_the_number_of_batches(job: Job, workers: int) -> None:
    job = replace(job, data=replace(job.data, workers=workers))
    samples, model = open_job_samples(job), model_of(job)
    learn = train_loader(job, model, samples.train, cache=None)
    check = val_loader(job, model, samples.val, cache=None)
    assert len(list(learn)) == len(learn) == count_batches(job, samples.train)
    seen = [sample for batch in check for sample in batch.ids]
    assert len(seen) == len(set(seen)) == 5


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_the_length_of_unlike_shards_is_the_number_of_batches(
    job: Job, tmp_path: Path, workers: int, world: int
) -> None:
    for shard, count in enumerate((9, 1, 2, 1)):
        write_shards(tmp_path / "more", f"val{shard}", count, 1)
        (tmp_path / "more" / f"val{shard}" / "0.tar").rename(tmp_path / "val" / f"{shard}.tar")
    job = replace(job, data=replace(job.data, workers=workers))
    samples, model = open_job_samples(job), model_of(job)
    seen, lengths = [], []
    for rank in range(world):
        check = val_loader(job, model, samples.val, cache=None, place=(rank, world))
        batches = list(check.read())
        assert len(batches) == len(check)
        lengths.append(len(check))
        for batch in batches:
            names = zip(batch.ids, batch.counted.tolist(), strict=True)
            seen += [name for name, counted in names if counted]
    assert len(set(lengths)) == 1
    assert len(seen) == len(set(seen)) == 13


def test_the_place_in_an_epoch_is_found_again(job: Job) -> None:
    samples, model = open_job_samples(job), model_of(job)
    loader = train_loader(job, model, samples.train, cache=None)
    loader.set_epoch(1)
    whole = [batch.ids for batch in loader]
    loader.set_epoch(1, 1)
    assert [batch.ids for batch in loader] == whole[1:]
    loader.set_epoch(0)
    assert [batch.ids for batch in loader] != whole


def test_a_run_learns_from_shards(job: Job, tmp_path: Path) -> None:
    from fusionkit.runs.fit import fit

    faster = replace(job.training, lr=0.05, epochs=4)
    fitted = fit(replace(job, training=faster), tmp_path / "run", catalog=toy_catalog())
    assert fitted.score.samples == 5
    assert fitted.model.recipe.classes == ("dark", "light")
    assert fitted.score.accuracy == 1.0


def test_f090_features_of_a_stream_are_not_cached(job: Job) -> None:
    job = replace(job, training=replace(job.training, cache=True))
    with pytest.raises(
        fk.CacheError, match="features of shards cannot be cached: they are read as"
    ):
        train_loader(job, model_of(job), open_job_samples(job).train, cache=None)


def test_what_is_missing_is_named(job: Job, tmp_path: Path) -> None:
    for shard in (tmp_path / "val").iterdir():
        shard.unlink()
    with pytest.raises(
        fk.DataError, match="no shards of a split 'val' to validate on; it has train"
    ):
        open_job_samples(job)
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(fk.ConfigError, match=r"write them into .*classes\.txt, a line each"):
        open_job_samples(job)
