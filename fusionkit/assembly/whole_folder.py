"""A folder that holds more than weights: what it is called as a backbone of its own."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

from fusionkit.errors import CheckpointError
from fusionkit.recipe.weights import Weights
from fusionkit.saved.texts import read_text

__all__ = ["name_of_whole", "warn_of_preparation"]


def warn_of_preparation(weights: Weights) -> None:
    """Warns where a folder says how its images were prepared, which comes with its name alone."""
    name = name_of_whole(weights)
    if name:
        warnings.warn(
            f"{weights.source} says how images were prepared for these weights, but weights= takes "
            "the tensors alone, and images are prepared as for the provider's own; write the "
            f"folder as the backbone, Branch({name!r}), or say preprocessing=",
            stacklevel=2,
        )


def name_of_whole(weights: Weights) -> str:
    """Gives the backbone's name for a folder that describes its model, or nothing."""
    try:
        told = json.loads(read_text(Path(weights.source) / "config.json"))
    except (CheckpointError, ValueError, RecursionError):  # there is none, or another program's
        return ""
    for key, provider in (("pretrained_cfg", "timm"), ("model_type", "hf")):
        if isinstance(told, dict) and key in told:
            return f"{provider}/local-dir:{weights.source}"
    return ""
