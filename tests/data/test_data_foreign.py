"""Datasets of torch and of Hugging Face."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from data_pictures import SMALL, noise, put_tree

import fusionkit as fk
from fusionkit.data import Encoded, PreparedDataset, open_predict, open_samples


class Items(torch.utils.data.Dataset[Any]):
    """Gives the items that it was made of, and counts how often."""

    def __init__(self, *items: Any, **attributes: Any) -> None:
        self.items = items
        self.asked = 0
        for name, value in attributes.items():
            setattr(self, name, value)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        self.asked += 1
        return self.items[index]


def test_pairs():
    samples = open_samples(Items((noise(), 0), (noise(), torch.tensor(2))))
    assert samples.ids == ("0", "1")
    assert samples.labels == (0, 2)
    assert samples.classes == ("0", "1", "2")
    assert list(samples[0].inputs) == ["image"]
    assert samples[-1].label == 2
    assert PreparedDataset(samples, {"a": SMALL})[1].inputs["a"].shape == (3, 8, 8)


def test_labels_that_are_listed_cost_no_item():
    dataset = Items((noise(), 0), (noise(), 1), targets=[0, 1], classes=["cat", "dog"])
    samples = open_samples(dataset, ids=["x", "y"])
    assert samples.labels == (0, 1)
    assert samples.classes == ("cat", "dog")
    assert samples.ids == ("x", "y")
    assert dataset.asked == 0
    tensors = torch.utils.data.TensorDataset(torch.rand(3, 3, 4, 4), torch.tensor([1, 0, 1]))
    assert open_samples(tensors).labels == (1, 0, 1)


def test_several_inputs_by_name_or_in_their_order():
    two = ("rgb", "nir")
    by_name = open_samples(Items(({"rgb": noise(), "nir": noise()}, 1)), inputs=two)
    in_order = open_samples(Items(((noise(), noise()), 1)), inputs=two)
    rows = open_samples(Items({"rgb": noise(), "nir": noise(), "y": 1}), inputs=two, label="y")
    for samples in (by_name, in_order, rows):
        assert list(samples[0].inputs) == ["rgb", "nir"]
        assert samples[0].label == 1
    assert by_name.content(0) == rows.content(0)


def test_unlabelled():
    samples = open_predict(Items(noise(), noise()))
    assert samples.labels == (None, None)
    assert samples[0].label is None


@pytest.mark.parametrize(
    ("item", "inputs", "message"),
    [
        (noise(), ("image",), r"an item is \(input, label\) or a mapping with 'label', got Image"),
        ((noise(), 0.5), ("image",), "a label is the index of a class, a whole number; got 0.5"),
        (({"rgb": 1}, 0), ("rbg",), r"an item has no 'rbg'. Did you mean 'rgb'\? It has 'rgb'"),
        (
            (noise(), 0),
            ("a", "b"),
            r"there are 2 inputs, so an item is \(inputs, label\) with a ma",
        ),
    ],
)
def test_items_of_another_kind(item: Any, inputs: tuple[str, ...], message: str):
    samples = open_samples(Items(item, classes=["c"]), inputs=inputs)
    with pytest.raises(fk.DataError, match=message):
        samples[0]


@pytest.mark.parametrize("listed", [True, False])
def test_labels_are_told_by_the_names_that_a_dataset_gives_its_classes(listed: bool):
    items = ((noise(), 0), (noise(), 1))
    more = {"targets": [0, 1]} if listed else {}
    dataset = Items(*items, classes=["dog", "cat"], **more)
    samples = open_samples(dataset, classes=("cat", "dog", "eel"))
    assert samples.classes == ("cat", "dog", "eel")
    assert samples.labels == (1, 0)
    assert [sample.label for sample in samples] == [1, 0]
    assert open_samples(Items(*items, **more), classes=("cat", "dog")).labels == (0, 1)
    message = r"label 1 is 'cat' in the dataset, .* none of the 2 classes \('dog', 'cats'\).* mean"
    with pytest.raises(fk.DataError, match=message):
        _ = open_samples(dataset, classes=("dog", "cats")).labels
    wrong = Items((noise(), 5), classes=["dog", "cat"], **({"targets": [5]} if listed else {}))
    with pytest.raises(fk.DataError, match="the label 5 is no class: there are 2, from 0"):
        _ = open_samples(wrong, classes=("cat", "dog")).labels


def test_bad_datasets():
    with pytest.raises(fk.DataError, match="the dataset is empty"):
        open_samples(Items())
    with pytest.raises(fk.DataError, match="the label 2 is no class: there are 2, from 0"):
        open_samples(Items((noise(), 2), targets=[2]), classes=("a", "b"))
    with pytest.raises(fk.DataError, match="ids must be 2 different texts"):
        open_samples(Items((1, 0), (1, 0)), ids=["a", "a"])
    with pytest.raises(
        fk.ConfigError, match="a Items has no splits: give the dataset of the split"
    ):
        open_samples(Items((1, 0)), "train")


@pytest.fixture
def pets(tmp_path: Path) -> Any:
    datasets = pytest.importorskip("datasets")
    put_tree(tmp_path, "a.png", "b.png")
    file = io.BytesIO()
    noise(seed=5).save(file, "PNG")
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "kind": datasets.ClassLabel(names=["cat", "dog"]),
            "name": datasets.Value("string"),
        }
    )
    columns = {
        "image": [str(tmp_path / "a.png"), {"bytes": file.getvalue(), "path": None}],
        "kind": [1, 0],
        "name": ["tom", "rex"],
    }
    return datasets.Dataset.from_dict(columns, features=features)


def test_hugging_face(pets: Any, tmp_path: Path):
    samples = open_samples(pets, label="kind")
    assert samples.classes == ("cat", "dog")
    assert samples.labels == (1, 0)
    assert samples[0].inputs["image"] == tmp_path / "a.png"
    assert isinstance(samples[1].inputs["image"], Encoded)
    dataset = PreparedDataset(samples, {"a": SMALL})
    assert torch.equal(
        fk.data.Normalise({"a": SMALL})({"a": dataset[1].inputs["a"][None]})["a"][0],
        SMALL.transform()(noise(seed=5)),
    )
    named = open_samples(pets, label="name")
    assert named.classes == ("rex", "tom")
    assert named.labels == (1, 0)
    assert open_predict(pets).labels == (None, None)


def test_hugging_face_labels_are_told_by_the_names_of_their_classes(pets: Any):
    samples = open_samples(pets, label="kind", classes=("dog", "eel", "cat"))
    assert samples.labels == (0, 2)
    assert samples[0].label == 0
    assert samples.classes == ("dog", "eel", "cat")
    with pytest.raises(fk.DataError, match="the label 1 is 'dog' in the dataset, which is none"):
        open_samples(pets, label="kind", classes=("cat", "eel"))


def test_hugging_face_classes_are_those_of_the_training_split(pets: Any):
    datasets = pytest.importorskip("datasets")
    columns = {name: pets[name] for name in ("image", "name")}
    kind = datasets.ClassLabel(names=["dog", "cat"])
    features = datasets.Features({**pets.features, "kind": kind})
    turned = datasets.Dataset.from_dict({**columns, "kind": [0, 1]}, features=features)
    both = datasets.DatasetDict(train=pets, validation=turned.select([0]))
    val = open_samples(both, "val", label="kind")
    assert (val.classes, val.labels) == (("cat", "dog"), (1,))
    named = open_samples(both, "val", label="name")
    assert (named.classes, named.labels) == (("rex", "tom"), (1,))


def test_workers_that_are_started_afresh_get_them(pets: Any):
    for samples in (open_samples(pets, label="kind"), open_samples(Items((noise(), 0)))):
        dataset = PreparedDataset(samples, {"a": SMALL})
        copy = pickle.loads(pickle.dumps(dataset))
        assert torch.equal(copy[0].inputs["a"], dataset[0].inputs["a"])


def test_hugging_face_splits(pets: Any):
    datasets = pytest.importorskip("datasets")
    both = datasets.DatasetDict(train=pets, validation=pets)
    assert len(open_samples(both, "train", label="kind")) == 2
    assert len(open_samples(both, "val", label="kind")) == 2
    with pytest.raises(fk.ConfigError, match="has the splits train, validation: say which"):
        open_samples(both, label="kind")
    with pytest.raises(fk.DataError, match=r"no split 'trian'; .* Did you mean 'train'\?"):
        open_samples(both, "trian", label="kind")
    with pytest.raises(fk.DataError, match=r"no column 'label'. Its columns are 'image', 'kind'"):
        open_samples(pets)
    with pytest.raises(fk.ConfigError, match="a streamed dataset can only be iterated"):
        open_samples(pets.to_iterable_dataset(), label="kind")
