"""The same model, given raw images or prepared ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

from fusionkit.checkpoint.config import backbone_of
from fusionkit.model.fused import FusedModel
from fusionkit.model.prepare import preparations

__all__ = ["presented"]


@contextmanager
def presented(model: FusedModel, preprocess: Literal["outside", "inside"]) -> Iterator[FusedModel]:
    """Lets a model take raw images (``"inside"``) or prepared ones, within the block.

    A run prepares them outside, where a picture is decoded and resized once for all branches; the
    model that it saves takes raw images all the same, if its recipe says so.
    """
    recipe, prepare = model.recipe, model.prepare
    try:
        model.recipe = replace(recipe, preprocess=preprocess)
        inside = {name: backbone_of(model, name) for name in model.parts}
        fresh = preparations(inside if preprocess == "inside" else {})
        model.prepare = fresh.to(next(model.parameters()).device)
        yield model
    finally:
        model.recipe, model.prepare = recipe, prepare
