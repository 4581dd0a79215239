"""The named ways to transfer, and which one to begin with."""

from __future__ import annotations

from typing import Any

import pytest

import fusionkit as fk

presets = fk.presets


@pytest.mark.parametrize(
    ("preset", "name", "freeze", "lr"),
    [
        (presets.feature_extraction(), "feature extraction", fk.Freeze.all(), fk.LR()),
        (presets.fine_tuning(), "fine-tuning", fk.Freeze.none(), fk.LR(0.1)),
        (presets.fine_tuning(0.2), "fine-tuning", fk.Freeze.none(), fk.LR(0.2)),
        (
            presets.discriminative_fine_tuning(),
            "discriminative fine-tuning",
            fk.Freeze.none(),
            fk.LR(0.1, layer_decay=0.75),
        ),
        (
            presets.gradual_unfreezing(start=3, every=2, scale=0.3, layer_decay=0.9),
            "gradual unfreezing",
            fk.Freeze.gradual(3, 2),
            fk.LR(0.3, layer_decay=0.9, warmup=1),
        ),
    ],
)
def test_presets_fit_a_branch(
    preset: presets.Preset, name: str, freeze: fk.Freeze, lr: fk.LR
) -> None:
    assert (preset.name, preset.freeze, preset.lr, preset.reason) == (name, freeze, lr, "")
    branch = fk.Branch("timm/resnet18", freeze=preset.freeze, lr=preset.lr)
    assert branch.freeze == freeze


@pytest.mark.parametrize(
    ("images", "domain", "name"),
    [
        (1, "near", "feature extraction"),
        (499, "near", "feature extraction"),
        (500, "near", "gradual unfreezing"),
        (5000, "near", "gradual unfreezing"),
        (5001, "near", "fine-tuning"),
        (1, "far", "discriminative fine-tuning"),
        (499, "far", "discriminative fine-tuning"),
        (5000, "far", "discriminative fine-tuning"),
        (5001, "far", "fine-tuning"),
    ],
)
def test_the_usual_guide(images: int, domain: Any, name: str) -> None:
    preset = fk.suggest(images, domain)
    assert preset.name == name
    assert f"{images:,} images" in preset.reason


def test_between_500_and_5000_features_come_first() -> None:
    freeze = fk.suggest(1000).freeze
    stages = ("stem", "layer1", "layer2")
    assert [freeze.learning_stages(stages, epoch) for epoch in range(8)] == [0, 0, 0, 1, 1, 2, 2, 3]


@pytest.mark.parametrize("images", [500, 10_000])
def test_in_a_far_domain_early_stages_learn_from_the_first_epoch(images: int) -> None:
    preset = fk.suggest(images, "far")
    assert preset.freeze.learning_stages(("stem", "top"), 0) == 2
    assert "far domain" in preset.reason


@pytest.mark.parametrize("images", [0, -5, 2.0, True, "many", None])
def test_a_number_of_images_that_is_none(images: Any) -> None:
    with pytest.raises(fk.PolicyError, match="suggest takes the number of training images, got"):
        fk.suggest(images)


def test_a_domain_that_is_neither() -> None:
    with pytest.raises(fk.PolicyError, match="'near' or 'far', got 'medium'"):
        fk.suggest(10, "medium")  # type: ignore[arg-type]
