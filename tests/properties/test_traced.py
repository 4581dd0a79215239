"""Real models of many kinds compile to one graph and export, as they declare."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from zoo import ZOO, Specimen, identify

import fusionkit as fk
import fusionkit.testing as kit

TRACED = (
    *("timm/resnet18", "timm/mixer_s32_224", "timm/vit_tiny_patch16_224"),
    "torchvision/squeezenet1_1",
)


def specimens(names: tuple[str, ...]) -> list[Specimen]:
    by_name = {specimen.name: specimen for specimen in ZOO}
    return [by_name[name] for name in names]


def factory(specimen: Specimen) -> Callable[..., Any]:
    made = fk.Catalog.installed().backbone(specimen.name).factory
    return partial(made, **specimen.options)


@pytest.mark.slow
@pytest.mark.parametrize("specimen", specimens(TRACED), ids=identify)
def test_a_real_model_is_traced(specimen: Specimen) -> None:
    traced = ["compiles_as_declared", "exports_as_declared"]
    kit.check_backbone(factory(specimen), only=traced, name=specimen.name)
