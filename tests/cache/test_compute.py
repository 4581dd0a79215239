"""Samples are read for some branches alone, and branches are run as training runs them."""

from __future__ import annotations

import pytest
import torch
from cached_toys import COUNT, loader_of, model_of, samples_of, write_images

import fusionkit as fk
from fusionkit.cache.compute import Compute, describe_preparation, device_of
from fusionkit.data import Batch, Preparation, PreparedDataset, Sample
from fusionkit.data.sample import ListedSamples


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / "images")


def test_positions_come_in_their_order_for_the_branches_asked_for(images):
    model = model_of()
    compute = Compute(model, PreparedDataset(samples_of(images), model))
    batches = list(compute.read(["b"], [7, 2, 5], 2))
    assert [batch.indices.tolist() for batch in batches] == [[7, 2], [5]]
    assert [list(batch.inputs) for batch in batches] == [["b"]] * 2
    assert list(compute.read(["b"], [], 2)) == []


def test_a_batch_of_which_nothing_can_be_read_is_told(images):
    model = model_of()
    samples = samples_of(images)
    dataset = PreparedDataset(samples, model, broken="skip")
    (images / samples.ids[0]).write_bytes(b"")
    compute = Compute(model, dataset)
    told, rest = compute.read(["a"], [0, 1], 1)
    assert [name for name, _ in told] == [samples.ids[0]]
    assert isinstance(rest, Batch)


def test_features_are_those_of_the_model_without_gradients(images):
    model = model_of().train()
    compute = Compute(model, PreparedDataset(samples_of(images), model))
    (batch,) = compute.read(["a", "b"], range(COUNT), COUNT)
    found = compute.run(["b"], {"b": batch.inputs["b"]})
    assert list(found) == ["b"]
    assert not found["b"].vector.requires_grad
    (live,) = loader_of(model, images, shuffle=False, batch_size=COUNT)
    assert torch.equal(found["b"].vector, model.features(live.inputs)["b"].vector)


def test_branches_that_share_pixels_share_them_on_the_device(images):
    made = model_of()
    raw = {name: fk.Preprocessing(size=(16, 16)) for name in ("a", "b")}
    compute = Compute(made, PreparedDataset(samples_of(images), raw))
    (batch,) = compute.read(["a", "b"], [0], 1)
    ready = compute.ready(batch.inputs, torch.device("cpu"))
    assert ready["a"] is ready["b"]


def test_a_model_lies_where_its_tensors_lie():
    assert device_of(model_of()) == torch.device("cpu")
    assert device_of(model_of().to("meta")) == torch.device("meta")


def count_words(text):
    return torch.tensor([len(text)])


def test_a_preparation_is_told_by_what_it_does(images):
    model = model_of()
    dataset = PreparedDataset(samples_of(images), model)
    assert describe_preparation(dataset, "a") != describe_preparation(dataset, "b")
    assert "size=(16, 16)" in describe_preparation(dataset, "a")
    quick = PreparedDataset(samples_of(images), model, exact=False)
    assert describe_preparation(quick, "a") != describe_preparation(dataset, "a")
    texts = ListedSamples([Sample("1", {"text": "a word"}, 0)], ["x"], ["text"])
    plain = {"a": Preparation("text")}
    bare = PreparedDataset(texts, plain)
    encoded = PreparedDataset(texts, plain, encoders={"text": count_words})
    assert describe_preparation(bare, "a") != describe_preparation(encoded, "a")
    assert "count_words" in describe_preparation(encoded, "a")
    assert "0x" not in describe_preparation(encoded, "a")
