"""The heads that multiply branches keep the promises of every head."""

from __future__ import annotations

import json
from functools import partial

import pytest
import torch
from torch import nn
from toy_features import make_features, make_inputs

import fusionkit as fk
import fusionkit.testing as kit
from fusionkit.heads.plugin import fusionkit_heads
from fusionkit.heads.products import HEADS

NARROW = {
    "block": {"width": 12, "chunks": 4, "rank": 2},
    "compact_bilinear": {"width": 64},
    "mfb": {"width": 20},
    "mlb": {"width": 20},
    "mutan": {"project": 10, "width": 12},
}
"""Where the defaults are wide: the kit builds a head hundreds of times."""

CASES = [
    *[(name, NARROW.get(name, {})) for name in HEADS],
    ("bilinear", {"reads": "maps", "norm": "none", "level": 0}),
    ("bilinear", {"project": 4, "dropout": 0.2, "norm": "batch"}),
    ("compact_bilinear", {"width": 33, "reads": "maps", "dropout": 0.2}),
    ("compact_bilinear", {"width": 16, "norm": "none"}),
    ("mlb", {"width": 6, "activation": "none", "norm": "none", "dropout": 0.2}),
    ("mutan", {"project": 5, "width": 6, "rank": 2, "activation": "none", "norm": "none"}),
    ("mfb", {"width": 6, "factors": 3, "norm": "none"}),
    ("block", {"width": 7, "chunks": 3, "rank": 2, "normalise": "none", "norm": "none"}),
    ("block", {"width": 6, "chunks": 2, "rank": 1, "normalise": "whole", "norm": "l2"}),
    ("tensor_fusion", {"norm": "none"}),
    ("tensor_fusion", {"project": {"audio": 3}, "hidden": [6, 5], "dropout": 0.2}),
    ("low_rank_fusion", {"norm": "none", "rank": 1}),
    ("multiplicative_interaction", {"norm": "none", "project": 3}),
]

COMPILED = [
    ("bilinear", {}),
    ("bilinear", {"reads": "maps"}),
    ("block", {"width": 7, "chunks": 3, "rank": 2}),
    ("compact_bilinear", NARROW["compact_bilinear"]),
    ("compact_bilinear", {"reads": "maps", "width": 33}),
    ("low_rank_fusion", {}),
    ("mfb", NARROW["mfb"]),
    ("mlb", NARROW["mlb"]),
    ("multiplicative_interaction", {}),
    ("mutan", NARROW["mutan"]),
    ("tensor_fusion", {}),
]

COMPILERS = ("compiles", "exports")


def ids(cases):
    return [f"{name}-{json.dumps(options)}" for name, options in cases]


@pytest.mark.parametrize(("name", "options"), CASES, ids=ids(CASES))
def test_each_head_under_its_options(name, options):
    kit.check_head(partial(fusionkit_heads()[name], **options))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), COMPILED, ids=ids(COMPILED))
def test_compilers_take_them(name, options):
    report = kit.check_head(partial(fusionkit_heads()[name], **options), only=COMPILERS)
    assert report["compiles"].status == report["exports"].status == "passed"


@pytest.mark.parametrize("name", list(HEADS))
@pytest.mark.parametrize("count", [2, 6])
def test_every_branch_learns_from_the_start(name, count):
    """No branch's features get a gradient that is a hundredth of what a linear layer gives."""
    inputs = {f"b{i}": fk.HeadInput(6) for i in range(count)}
    torch.manual_seed(0)
    vectors = {key: torch.randn(64, 6, requires_grad=True) for key in inputs}
    labels = torch.randint(4, (64,))

    def slopes(head):
        logits = head.eval()({key: fk.Features(x) for key, x in vectors.items()})
        loss = nn.functional.cross_entropy(logits, labels)
        return [g.norm() for g in torch.autograd.grad(loss, list(vectors.values()))]

    due = slopes(fusionkit_heads()["concat"](inputs, num_classes=4))
    options = {"project": 3} if name == "tensor_fusion" else {}
    for found, usual in zip(
        slopes(fusionkit_heads()[name](inputs, num_classes=4, **options)), due, strict=True
    ):
        assert 0.01 < found / usual < 100


@pytest.mark.parametrize("name", list(HEADS))
def test_each_is_built_alike_from_the_same_seed(name):
    def build():
        torch.manual_seed(5)
        return fusionkit_heads()[name](make_inputs(), num_classes=3)

    one, other = build(), build()
    features = make_features(one, make_inputs())
    assert torch.equal(one.eval()(features), other.eval()(features))


@pytest.mark.parametrize("name", [name for name in HEADS if "bilinear" not in name])
def test_what_one_branch_says_is_left_when_the_other_is_absent(name):
    """Both branches tell the class; trained on both, the head does with one, without dropout.

    Not so the bilinear ones: of two vectors that both change sign the product does not.
    """
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (300,), generator=generator)
    inputs = make_inputs(2)
    features = {}
    for branch, offered in inputs.items():
        vector = torch.randn(300, offered.embed_dim, generator=generator)
        vector[:, :3] += 1.5 * (2 * labels[:, None] - 1)
        features[branch] = fk.Features(vector=vector)
    torch.manual_seed(0)
    head = fusionkit_heads()[name](inputs, num_classes=2)
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-2)
    for _ in range(100):
        torch.nn.functional.cross_entropy(head.train()(features), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
    head.eval()
    for branch, own in features.items():
        assert (head({branch: own}).argmax(1) == labels).float().mean() > 0.8
