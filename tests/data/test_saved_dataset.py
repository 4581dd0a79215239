"""A dataset of Hugging Face that lies on disk is read as the same dataset in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fusionkit as fk
from fusionkit.data import find_splits, open_predict, open_samples
from fusionkit.data.saved_dataset import is_saved_dataset

datasets = pytest.importorskip("datasets", reason="datasets is of the extra 'dev'")


def rows(count: int):
    pictures = [Image.fromarray(np.full((6, 5, 3), 20 * n, "uint8")) for n in range(count)]
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )
    data = {"image": pictures, "label": [n % 2 for n in range(count)]}
    return datasets.Dataset.from_dict(data, features=features)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    both = datasets.DatasetDict({"train": rows(4), "validation": rows(2)})
    both.save_to_disk(str(tmp_path / "pets"))
    return tmp_path / "pets"


def test_splits_and_samples(saved: Path) -> None:
    assert is_saved_dataset(saved)
    assert find_splits(saved) == ("train", "val")
    train = open_samples(saved, "train")
    assert train.classes == ("cat", "dog")
    assert train.labels == (0, 1, 0, 1)
    assert len(open_samples(saved, "val")) == 2


def test_one_dataset_without_splits(tmp_path: Path) -> None:
    rows(3).save_to_disk(str(tmp_path / "pets"))
    assert find_splits(tmp_path / "pets") == ()
    assert open_samples(tmp_path / "pets").labels == (0, 1, 0)
    assert len(open_predict(tmp_path / "pets")) == 3


def test_other_folders_are_none(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{}")
    assert not is_saved_dataset(tmp_path)


def test_a_damaged_one_is_named(saved: Path) -> None:
    for file in (saved / "train").glob("*.arrow"):
        file.unlink()
    with pytest.raises(fk.DataError, match="cannot read the dataset in"):
        open_samples(saved, "train")
    (saved / "dataset_dict.json").write_text("{")
    with pytest.raises(fk.DataError, match=r"cannot read .*dataset_dict\.json"):
        find_splits(saved)
