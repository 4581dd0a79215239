"""Every fenced block of the README, the documentation and the plugins' READMEs is run."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from fenced import read_blocks
from page_run import CI, PageRun, Surroundings

from fusionkit.data import Sample
from fusionkit.data.sample import ListedSamples

ROOT = Path(__file__).parents[2]
PAGES = {
    str(page.relative_to(ROOT)): page
    for pattern in ("README.md", "docs/**/*.md", "plugins/*/README.md")
    for page in sorted(ROOT.glob(pattern))
}


def count_letters(texts: list[str], **_: Any) -> dict[str, torch.Tensor]:
    """Stands for a tokenizer, of which no vocabulary is here."""
    ids = torch.tensor([[len(word) for word in text.split()] for text in texts])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


IMAGES = torch.linspace(-1, 1, 2 * 3 * 64 * 64).reshape(2, 3, 64, 64)
SMALL = '{"num_hidden_layers": 3, "hidden_size": 32, "num_attention_heads": 2}'
SURROUNDINGS = {
    "README.md": Surroundings(
        names={"batches": [(x, torch.tensor([1, 7])) for x in (IMAGES, IMAGES.flip(3))]},
        instead={"range(20)": "range(4)"},  # enough for a thaw
    ),
    "plugins/fusionkit-transformers/README.md": Surroundings(
        names={
            "images": IMAGES[..., :56, :56],
            "captions": ["a cat", "a dog"],
            "tokenizer": count_letters,
        },
        instead={  # the same architectures, small, random and without a network
            '"hf/facebook/dinov2-small"': f'"hf/dinov2", options={{"config": {SMALL}}}',
            '"hf/google-bert/bert-base-uncased"': f'"hf/bert", options={{"config": {SMALL}}}',
        },
        needs="transformers",
    ),
    "docs/cache.md": Surroundings(
        names={
            "samples": ListedSamples(
                [Sample(f"{n}", {"image": IMAGES[n % 2].add(1).div(2)}, n % 2) for n in range(6)],
                ("cat", "dog"),
                ("image",),
            )
        },
        instead={'open_samples("pets", "train")': "samples", "cache=True": 'cache="features"'},
    ),
    "docs/recipes.md": Surroundings(
        files={
            "pets.yaml": "branches: {a: {backbone: timm/resnet18, weights: null}}\n"
            "head: concat\nnum_classes: 2\n"
        },
    ),
    "plugins/fusionkit-example/README.md": Surroundings(
        instead={"pip install fusionkit-example": "pip install -e plugins/fusionkit-example"},
    ),
}


@pytest.mark.parametrize("name", PAGES)
def test_every_block_does_what_the_page_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    surroundings = SURROUNDINGS.get(name, Surroundings())
    if surroundings.needs and find_spec(surroundings.needs) is None:
        pytest.skip(f"{surroundings.needs} is not installed; .ci/run runs this with its plugins")
    page = PageRun(PAGES[name], surroundings, tmp_path, monkeypatch)
    try:
        for block in read_blocks(PAGES[name].read_text(encoding="utf-8")):
            try:
                page.run(block)
            except Exception as error:
                raise AssertionError(f"{name}, line {block.line}: {error}") from error
    finally:
        page.close()


def test_what_is_said_of_a_page_is_true_of_it() -> None:
    assert SURROUNDINGS.keys() <= PAGES.keys()
    for name, surroundings in SURROUNDINGS.items():
        text = PAGES[name].read_text(encoding="utf-8")
        for needed in (*surroundings.names, *surroundings.files, *surroundings.instead):
            assert needed in text, f"{name} no longer has {needed}"


def test_every_command_that_is_run_elsewhere_stands_in_the_readme() -> None:
    blocks = read_blocks(PAGES["README.md"].read_text(encoding="utf-8"))
    marked = {block.marks["ci"] for block in blocks if "ci" in block.marks}
    loop = re.search(r"^for name in (.*); do$", CI.read_text(encoding="utf-8"), re.MULTILINE)
    assert loop is not None
    assert marked == set(loop[1].split())
