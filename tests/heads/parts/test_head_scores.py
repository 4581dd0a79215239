"""What each branch alone says about the classes."""

from __future__ import annotations

import torch
from toy_features import NUM_CLASSES, make_features, make_inputs

from fusionkit.heads.parts.scores import BranchScores
from fusionkit.heads.scores.ensemble import MeanLogits


def test_a_kept_classifier_is_passed_on_untouched_and_another_is_new():
    inputs = make_inputs(2, classifiers=["image"])
    scores = BranchScores(inputs, NUM_CLASSES, norm="none")
    features = make_features(MeanLogits(inputs, num_classes=NUM_CLASSES), inputs)
    audio, image = scores(features).values()
    assert image is features["image"].logits
    assert torch.equal(audio, scores.classifiers["audio"].linear(features["audio"].vector))
    assert [name for name, _ in scores.named_parameters()] == [
        "classifiers.audio.linear.weight",
        "classifiers.audio.linear.bias",
    ]


def test_features_of_large_norm_do_not_start_with_extreme_scores():
    torch.manual_seed(0)
    inputs = make_inputs(1)
    scores = BranchScores(inputs, NUM_CLASSES)
    features = make_features(MeanLogits(inputs, num_classes=NUM_CLASSES), inputs, batch=64)
    loud = {"audio": features["audio"]._replace(vector=features["audio"].vector * 1e4)}
    assert scores(loud)["audio"].abs().max() < 5
    assert BranchScores(inputs, NUM_CLASSES, norm="none")(loud)["audio"].abs().max() > 1e3


def test_half_precision_scores_are_widened():
    inputs = make_inputs(1, classifiers=["audio"])
    scores = BranchScores(inputs, NUM_CLASSES)
    head = MeanLogits(inputs, num_classes=NUM_CLASSES)
    features = make_features(head, inputs, dtype=torch.bfloat16)
    assert scores(features)["audio"].dtype == torch.float32
