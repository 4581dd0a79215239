"""Branches of this plugin beside those of other providers, under random heads and policies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from families import IMAGES, TEXTS

import fusionkit as fk
from fusionkit.testing.pairs.draw import Pair, draw_pairs
from fusionkit.testing.pairs.unite import unite

EVERY = sorted({**IMAGES, **TEXTS})
OTHERS = ("timm/test_resnet", "timm/test_vit3", "torchvision/squeezenet1_1")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder with the configuration of each family, and no weights."""
    import transformers

    made = {}
    for family, settings in {**IMAGES, **TEXTS}.items():
        made[family] = tmp_path_factory.mktemp(family)
        transformers.AutoConfig.for_model(family, **settings).save_pretrained(made[family])
    return made


@pytest.mark.parametrize("family", EVERY)
def test_a_pair_trains_a_step_and_comes_back_to_the_same_bits(
    family: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    number = EVERY.index(family)
    catalog = fk.Catalog.installed()
    drawn = draw_pairs(OTHERS, catalog.heads("heads"), len(EVERY), seed=11)[number]
    other = OTHERS[number % len(OTHERS)]
    wrong = join(
        replace(drawn, backbones=(f"hf/local-dir:{folders[family]}", other)), catalog, tmp_path
    )
    if family in TEXTS:
        wrong = [each for each in wrong if "has no maps, which this head reads" not in each]
    assert wrong == []


@pytest.mark.parametrize("number", range(10))
def test_two_families_are_joined(number: int, folders: dict[str, Path], tmp_path: Path) -> None:
    own = [f"hf/local-dir:{folders[family]}" for family in sorted(IMAGES)]
    catalog = fk.Catalog.installed()
    pair = draw_pairs(own, catalog.heads("heads"), number + 1, seed=5)[number]
    assert join(pair, catalog, tmp_path) == []


def join(pair: Pair, catalog: fk.Catalog, folder: Path) -> list[str]:
    """Gives what went wrong; what the head refuses is one such thing."""
    try:
        return unite(pair, catalog, folder)
    except fk.AssemblyError as error:
        return [str(error)]
