"""The text of a card, filled from the model and from what its owner says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

import fusionkit
from fusionkit.backbone.contract import Backbone
from fusionkit.checkpoint.card_front import format_front
from fusionkit.checkpoint.card_use import format_use
from fusionkit.checkpoint.config import backbone_of
from fusionkit.checkpoint.model_card import ModelCard, is_hub_name
from fusionkit.model.fused import FusedModel
from fusionkit.preprocessing import Preprocessing
from fusionkit.recipe.form import recipe_to_data

__all__ = ["format_card"]

UNSTATED = "not stated"


def format_card(model: FusedModel, card: ModelCard, folder: str) -> str:
    """Gives the text of ``README.md``.

    Args:
        model: that is saved.
        card: what its owner says of it.
        folder: the name of the folder that it is saved to.
    """
    title = (card.name or folder).rpartition("/")[2]
    sections = [
        format_front(model, card, title) + f"\n# {_plain(title)}",
        _intro(model),
        card.description.strip(),
        format_use(model, card.name, folder),
        _results(card),
        "## Branches",
        *(_branch(model, name) for name in sorted(model.parts)),
        _head(model, card),
        f"Written by fusionkit {fusionkit.__version__} with torch {torch.__version__}, at epoch "
        f"{model.epoch}.",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _intro(model: FusedModel) -> str:
    names = ", ".join(_code(branch.backbone) for _, branch in sorted(model.recipe.branches.items()))
    return (
        f"{names}, fused by {_code(model.recipe.head.name)}: {_count(model)} parameters, "
        f"{model.recipe.num_classes} classes."
    )


def _results(card: ModelCard) -> str:
    if not card.metrics:
        return ""
    rows = [f"| {_plain(name)} | {value:g} |" for name, value in card.metrics.items()]
    head = [
        "## Results",
        "",
        f"On {_plain(card.dataset or '')}:",
        "",
        "| metric | value |",
        "|---|---|",
    ]
    return "\n".join([*head, *rows])


def _branch(model: FusedModel, name: str) -> str:
    backbone = backbone_of(model, name)
    branch = model.recipe.branches[name]
    written = recipe_to_data(model.recipe)["branches"][name]
    origin = _plain(model.provenance.get(name) or UNSTATED)
    lines = [
        f"### {name}",
        "",
        f"- Backbone: {_code(branch.backbone)}, from {origin}; {_count(backbone)} parameters, a "
        f"vector of {backbone.embed_dim}",
        f"- Weights that it began with: {_weights(backbone)}",
        f"- Input: {_code(branch.input)}{_shape(backbone)}",
    ]
    if backbone.takes_images:
        by_whom = "done by the model itself" if name in model.prepare else "to be done before"
        lines.append(f"- Preparation, {by_whom}: {_preparation(backbone.preprocessing)}")
    lines.append(
        f"- Freezing: {_data(written.get('freeze', 'none'))}; learning rate, in multiples of the "
        f"base rate: {_data(written.get('lr', 1))}"
    )
    return "\n".join(lines)


def _weights(backbone: Backbone) -> str:
    if not backbone.weights:
        return "random ones"
    said = _code(backbone.weights)
    if is_hub_name(backbone.base_model):
        said += f", [{backbone.base_model}](https://huggingface.co/{backbone.base_model})"
    return f"{said}; licence, as their provider states it: {_plain(backbone.license or UNSTATED)}"


def _shape(backbone: Backbone) -> str:
    if not backbone.takes_images:
        return ""
    prepared = backbone.preprocessing
    size = backbone.fixed_size or (prepared.size if prepared is not None else None)
    shape = f", {backbone.in_channels} channels"
    if size:
        shape += f", {size[0]} x {size[1]} pixels"
    return f"{shape} and no other" if backbone.fixed_size else shape


def _preparation(how: Preprocessing | None) -> str:
    return ", ".join(_steps(how)) if how is not None else UNSTATED


def _steps(how: Preprocessing) -> Iterator[str]:
    resize = how.resize or how.size
    if isinstance(resize, int):
        yield f"the shorter side resized to {resize} pixels ({how.interpolation})"
    else:
        yield f"resized to {resize[0]} x {resize[1]} pixels ({how.interpolation})"
    if how.resize not in (None, how.size):
        yield f"the centre of {how.size[0]} x {how.size[1]} cut out"
    if how.frames is not None:
        yield f"{how.frames} frames"
    yield "scaled to [0, 1]"
    yield f"mean {_numbers(how.mean)}"
    yield f"standard deviation {_numbers(how.std)}"


def _head(model: FusedModel, card: ModelCard) -> str:
    head = model.recipe.head
    options = f" with {_data(dict(head.options))}" if head.options else ""
    origin = _plain(model.provenance.get("head") or UNSTATED)
    lines = [
        "## Head and classes",
        "",
        f"{_code(head.name)}{options}, from {origin}; {_count(model.head)} parameters.",
    ]
    if classes := card.classes or model.recipe.classes:
        lines += ["", *(f"{place}. {_plain(name)}" for place, name in enumerate(classes))]
    return "\n".join(lines)


def _count(module: nn.Module) -> str:
    return f"{sum(parameter.numel() for parameter in module.parameters()):,}"


def _numbers(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.6g}" for value in values) + ")"


def _data(value: Any) -> str:
    return _code(value if isinstance(value, str) else json.dumps(value))


def _code(text: str) -> str:
    return "`" + " ".join(text.split()).replace("`", "'") + "`"


def _plain(text: str) -> str:
    """Gives a line that no Markdown and no HTML comes out of."""
    line = " ".join(text.split())
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in line)
