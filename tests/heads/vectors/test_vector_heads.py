"""The heads on vectors keep the promises of every head, under each of their options."""

from __future__ import annotations

import json
from functools import partial

import pytest

import fusionkit.testing as kit
from fusionkit.heads.plugin import fusionkit_heads
from fusionkit.heads.vectors import HEADS

CASES = [
    *[(name, {}) for name in HEADS],
    ("attention_gate", {"width": 5, "norm": "none", "hidden": [6]}),
    ("deep_sets", {"width": 5, "phi": [6, 7], "pool": "max", "norm": "batch"}),
    ("deep_sets", {"phi": 6, "pool": "mean", "hidden": 5, "activation": "gelu", "dropout": 0.2}),
    ("embrace", {"weights": "learned", "width": 24}),
    ("embrace", {"weights": {"audio": 1, "image": 2, "text": 3}, "hidden": 8, "norm": "l2"}),
    ("film", {"by": "image", "width": None, "rectify": False, "norm": "batch"}),
    ("film", {"by": ["audio"], "level": {"image": -1}, "width": 9, "norm": "none"}),
    ("film", {"level": 0, "hidden": 9}),
    ("gated_multimodal", {"tied": False, "width": 5, "norm": "l2"}),
    ("max_vectors", {"width": 9, "norm": "batch", "hidden": 7}),
    ("mean_vectors", {"width": 9, "norm": "none", "dropout": 0.3}),
    ("product_vectors", {"width": 9, "norm": "l2", "hidden": [8, 7], "activation": "tanh"}),
    ("product_vectors", {"norm": "none"}),
    ("project_concat", {"width": 5, "hidden": [8, 7], "activation": "silu", "norm": "none"}),
    ("squeeze_gate", {"project": {"audio": 8}, "reduction": 3, "hidden": 9}),
    ("sum_vectors", {"width": 9, "norm": {"audio": "none"}, "hidden": 7}),
]
IDS = [f"{name}-{json.dumps(options)}" for name, options in CASES]


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_each_head_under_its_options(name, options):
    kit.check_head(partial(fusionkit_heads()[name], **options))


@pytest.mark.parametrize("name", HEADS)
def test_compilers_take_them(name):
    report = kit.check_head(fusionkit_heads()[name], only=["compiles", "exports"])
    assert report["compiles"].status == report["exports"].status == "passed"
