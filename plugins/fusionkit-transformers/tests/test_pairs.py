"""Branches of this plugin beside those of other providers, under random heads and policies."""

from __future__ import annotations

from pathlib import Path

import pytest
from families import IMAGES, TEXTS

import fusionkit as fk
from fusionkit.testing.pairs.draw import Pair, draw_pairs
from fusionkit.testing.pairs.unite import unite

OTHERS = ("timm/test_resnet", "timm/test_vit3", "torchvision/squeezenet1_1")
COUNT = 40


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder with the configuration of each family, and no weights."""
    import transformers

    made = {}
    for family, settings in {**IMAGES, **TEXTS}.items():
        made[family] = tmp_path_factory.mktemp(family)
        transformers.AutoConfig.for_model(family, **settings).save_pretrained(made[family])
    return made


@pytest.mark.parametrize("number", range(COUNT))
def test_a_random_pair_trains_a_step_and_comes_back_to_the_same_bits(
    number: int, folders: dict[str, Path], tmp_path: Path
) -> None:
    own = [f"hf/local-dir:{folders[family]}" for family in sorted(folders)]
    catalog = fk.Catalog.installed()
    pair = draw_pairs([*own, *OTHERS], catalog.heads("heads"), COUNT, seed=11)[number]
    texts = {f"hf/local-dir:{folders[family]}" for family in TEXTS}
    wrong = join(pair, catalog, tmp_path)
    if texts & set(pair.backbones):
        wrong = [each for each in wrong if "has no maps, which this head reads" not in each]
    assert wrong == []


def join(pair: Pair, catalog: fk.Catalog, folder: Path) -> list[str]:
    """Gives what went wrong; what the head refuses is one such thing."""
    try:
        return unite(pair, catalog, folder)
    except fk.AssemblyError as error:
        return [str(error)]
