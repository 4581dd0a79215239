"""The README's own code, on tiny models that a local hub serves under the names in it."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from fake_hub import FakeHub
from test_loading import save

README = Path(__file__).parents[1] / "README.md"


def test_the_code_of_the_readme_runs(hub: FakeHub) -> None:
    save(hub.folder("facebook/dinov2-small"), "dinov2", "Dinov2Model")
    save(hub.folder("google-bert/bert-base-uncased"), "bert", "BertForMaskedLM")
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.S | re.M)
    assert len(blocks) == 1
    tokens = {"input_ids": torch.ones(2, 6, dtype=torch.long)}
    names = {
        "images": torch.randn(2, 3, 32, 32),
        "captions": ["a cat", "a dog"],
        "tokenizer": lambda *_, **__: {**tokens, "attention_mask": torch.ones(2, 6).long()},
    }
    exec(compile(blocks[0], str(README), "exec"), names)
    assert names["scores"].shape == (2, 10)
