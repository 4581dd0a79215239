"""The front matter is what the hub's own library reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from saved_toys import catalog_with, plain_tiny, toy_model
from toys import toy_catalog

import fusionkit as fk


def read(model: fk.FusedModel, folder: Path, **said: Any) -> Any:
    from huggingface_hub import ModelCard

    card = fk.ModelCard(**said) if said else None
    return ModelCard.load(fk.save(model, folder / "pets", card=card) / "README.md").data


def test_without_a_card_it_says_what_the_model_says(tmp_path: Path) -> None:
    data = read(toy_model(), tmp_path)
    assert data.to_dict() == {
        "library_name": "torch-fusionkit",
        "pipeline_tag": "image-classification",
        "tags": ["fusionkit", "feature-fusion", "toy"],
    }


def test_a_card_is_read_by_the_hubs_library(tmp_path: Path) -> None:
    model = toy_model()
    model.branches["rgb"].base_model = "owner/name"
    model.branches["flow"].base_model = "no name: [on the hub"
    data = read(
        model,
        tmp_path,
        name="somebody/pets-fused",
        license="apache-2.0",
        language=["en"],
        dataset="timm/oxford-iiit-pet",
        metrics={"accuracy": 0.93, "f1": 1},
        tags=["pets", "toy"],
    )
    assert data.license == "apache-2.0"
    assert data.language == ["en"]
    assert data.base_model == ["owner/name"]
    assert data.datasets == ["timm/oxford-iiit-pet"]
    assert data.metrics == ["accuracy", "f1"]
    assert data.tags == ["fusionkit", "feature-fusion", "toy", "pets"]
    assert data.model_name == "pets-fused"
    accuracy, _ = data.eval_results
    assert (accuracy.metric_type, accuracy.metric_value) == ("accuracy", 0.93)
    assert (accuracy.dataset_type, accuracy.task_type) == (
        "timm/oxford-iiit-pet",
        "image-classification",
    )


def test_a_data_set_in_words_is_no_link(tmp_path: Path) -> None:
    data = read(toy_model(), tmp_path, dataset="My cats: 3 (2024)", metrics={"accuracy": 0.5})
    assert data.datasets is None
    (result,) = data.eval_results
    assert (result.dataset_type, result.dataset_name) == ("my-cats-3-2024", "My cats: 3 (2024)")


@pytest.mark.parametrize(
    ("frames", "task"), [(None, "image-classification"), (8, "video-classification")]
)
def test_clips_are_another_task_than_images(tmp_path: Path, frames: int | None, task: str) -> None:
    def make(**options: Any) -> fk.Backbone:
        net = plain_tiny(**options)
        net.preprocessing = fk.Preprocessing(size=(8, 8), frames=frames)
        return net

    branch = fk.Branch("toy/tiny", weights=None)
    model = fk.compose({"a": branch}, "toy/sum", 2, catalog=catalog_with(make))
    assert read(model, tmp_path).pipeline_tag == task


def test_what_takes_other_inputs_has_no_task_but_the_one_that_is_given(tmp_path: Path) -> None:
    branches = {
        "rgb": fk.Branch("toy/tiny", weights=None),
        "flat": fk.Branch("toy/vector", weights=None, input="flat"),
    }
    model = fk.compose(branches, "toy/sum", 2, catalog=toy_catalog())
    assert read(model, tmp_path).pipeline_tag is None
    assert read(model, tmp_path / "b", task="tabular-classification").pipeline_tag == (
        "tabular-classification"
    )
