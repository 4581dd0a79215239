"""The example is read as it stands, and the page of recipes names what there is."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

import fusionkit as fk
from fusionkit.recipe.form import recipe_from_data
from fusionkit.recipe.text import parse_yaml

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")


def test_the_example_is_the_recipe_that_its_comments_tell() -> None:
    recipe = fk.read_recipe(ROOT / "examples" / "recipe.yaml")
    assert recipe == fk.Recipe(
        {
            "shape": fk.Branch("timm/resnet50.a1_in1k", freeze=fk.Freeze.all()),
            "texture": fk.Branch(
                "torchvision/efficientnet_b0",
                freeze=fk.Freeze.gradual(start=2, every=2),
                lr=fk.LR(0.1, layer_decay=0.75, warmup=1),
            ),
        },
        fk.Head("concat", hidden=512, dropout=0.2),
        num_classes=10,
        preprocess="inside",
    )
    assert recipe_from_data(parse_yaml(fk.format_recipe(recipe), "p.yaml")) == recipe


@pytest.mark.parametrize(
    "kind", [fk.Recipe, fk.Branch, fk.Head, fk.LR, fk.Preprocessing, fk.Freeze]
)
def test_the_page_names_every_field(kind: type) -> None:
    inside = {"rule", "count", "stage", "patterns"}  # stand in a file as rules, not as fields
    missing = {field.name for field in fields(kind) if f"`{field.name}`" not in PAGE} - inside
    mentioned = {name for name in missing if f"{name}:" in PAGE}
    assert not missing - mentioned


def test_the_pages_freeze_rules_are_read() -> None:
    section = PAGE.partition("### `freeze`")[2].partition("### `lr`")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    written = [text for row in rows for text in re.findall(r"`(.*?)`", row)]
    assert len(written) == 10
    for text in written:
        branch = f"{{backbone: timm/resnet18, freeze: {text}}}"
        recipe_from_data(parse_yaml(f"branches: {{a: {branch}}}\nhead: concat", "page"), "page")
