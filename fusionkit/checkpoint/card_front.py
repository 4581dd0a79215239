"""The front matter of a card: what the Hugging Face hub reads, in YAML."""

from __future__ import annotations

import re
from typing import Any

from fusionkit.checkpoint.config import backbone_of
from fusionkit.checkpoint.model_card import ModelCard, is_hub_name
from fusionkit.model.fused import FusedModel
from fusionkit.recipe.text import format_yaml

__all__ = ["format_front"]

LIBRARY = "torch-fusionkit"


def format_front(model: FusedModel, card: ModelCard, title: str) -> str:
    """Gives the front matter with its fences."""
    backbones = [backbone_of(model, name) for name in sorted(model.parts)]
    providers = {backbone.partition("/")[0] for backbone in _names(model)}
    tags = ["fusionkit", "feature-fusion", *sorted(providers), *card.tags]
    task = card.task or _task(model)
    data: dict[str, Any] = {
        "library_name": LIBRARY,
        "pipeline_tag": task,
        "license": card.license,
        "language": list(card.language),
        "base_model": sorted(
            {str(each.base_model) for each in backbones if is_hub_name(each.base_model)}
        ),
        "datasets": [card.dataset] if is_hub_name(card.dataset) else [],
        "metrics": list(card.metrics),
        "tags": list(dict.fromkeys(tags)),
        "model-index": _results(card, task, title),
    }
    return f"---\n{format_yaml({key: value for key, value in data.items() if value})}---\n"


def _names(model: FusedModel) -> list[str]:
    return [branch.backbone for branch in model.recipe.branches.values()]


def _task(model: FusedModel) -> str | None:
    """Gives the hub's word for classifying images or clips, where all branches take those."""
    frames = set()
    for name in model.parts:
        backbone = backbone_of(model, name)
        if not backbone.takes_images:
            return None
        frames.add(backbone.preprocessing is not None and backbone.preprocessing.frames is not None)
    return "video-classification" if frames == {True} else "image-classification"


def _results(card: ModelCard, task: str | None, title: str) -> list[dict[str, Any]]:
    if not card.metrics or card.dataset is None:
        return []
    slug = re.sub(r"[^a-z0-9/_.-]+", "-", card.dataset.lower()).strip("-") or "own"
    result = {
        "task": {"type": task or "other"},
        "dataset": {"type": slug, "name": card.dataset},
        "metrics": [{"type": name, "value": value} for name, value in card.metrics.items()],
    }
    return [{"name": title, "results": [result]}]
