"""The conformance kit, asked of a few families, or of every one."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from families import CLASSIFIERS, IMAGES, TEXTS, classifier_maker, maker, stock_inputs, twin
from torch import Tensor

import fusionkit as fk
import fusionkit.testing as kit

EVERY = "FUSIONKIT_EVERY_FAMILY"
"""Set to 1, it lets the kit ask every family, which takes some minutes."""

MUTE = {
    "branches_keep_to_themselves": "so small and random, it lets through next to nothing of images"
}

FAMILIES = [*IMAGES, *TEXTS] if os.environ.get(EVERY) else ["vit", "swin", "bert"]
CLASSIFYING = [*CLASSIFIERS] if os.environ.get(EVERY) else ["resnet"]


def reference(backbone: fk.Backbone, x: Any) -> fk.Features:
    """Gives what transformers' own model makes of an input, less the maps."""
    model = twin(backbone)
    with torch.no_grad():
        output = model(**stock_inputs(model, x))
    logits = getattr(output, "logits", None)
    if logits is not None:
        return fk.Features(logits=logits if backbone.num_classes else None)
    hidden = output.get("last_hidden_state")
    if output.get("pooler_output") is not None:
        return fk.Features(vector=output.pooler_output.flatten(1))
    if not isinstance(x, Tensor):
        mask = x["attention_mask"].unsqueeze(-1)
        return fk.Features(vector=(hidden * mask).sum(1) / mask.sum(1))
    return fk.Features(vector=hidden[:, 0] if hidden.ndim == 3 else hidden.mean((2, 3)))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_bare_model_conforms(family: str) -> None:
    expected = MUTE if family in ("efficientnet", "mobilenet_v2") else {}
    kit.check_backbone(
        maker(family), reference=reference, name=f"hf/{family}", expected_failures=expected
    )


@pytest.mark.parametrize("family", CLASSIFYING)
def test_a_classifier_conforms(family: str) -> None:
    kit.check_backbone(
        classifier_maker(family),
        reference=reference,
        name=CLASSIFIERS[family],
        expected_failures=MUTE if family == "levit" else {},
    )
