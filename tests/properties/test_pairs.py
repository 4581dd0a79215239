"""Models of all kinds compose in pairs, learn, are saved and come back, with three heads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from toys import perturb
from zoo import ZOO, Specimen, identify

import fusionkit as fk

HEADS = (fk.Head("mean_probabilities"), fk.Head("concat", hidden=16), fk.Head("two_stream_maps"))
HALF = (len(ZOO) + 1) // 2
PAIRS = [
    pytest.param(
        *(index, first, ZOO[(index + HALF) % len(ZOO)]),
        id=f"{identify(first)}+{identify(ZOO[(index + HALF) % len(ZOO)])}",
    )
    for index, first in enumerate(ZOO[:HALF])
]
"""Each model once, with one that lies far from it in the zoo."""

POLICIES = (
    {"freeze": fk.Freeze.all()},
    {"freeze": fk.Freeze.last(1), "lr": fk.LR(0.1, layer_decay=0.75)},
    {"freeze": fk.Freeze.only("norm", "bias")},
    {"freeze": fk.Freeze.gradual(1), "lr": fk.LR(0.5, by="block", warmup=1)},
)


@pytest.mark.parametrize(("index", "first", "second"), PAIRS)
def test_a_pair_composes_learns_and_comes_back(
    index: int, first: Specimen, second: Specimen, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = fk.compose(
        {
            "one": first.branch(input="one", **POLICIES[index % len(POLICIES)]),
            "two": second.branch(input="two", **POLICIES[(index + 2) % len(POLICIES)]),
        },
        head=HEADS[index % len(HEADS)],
        num_classes=3,
    )
    perturb(model)
    inputs = {"one": first.example(2), "two": second.example(2)}
    optimizer = torch.optim.AdamW(model.param_groups(lr=1e-4, weight_decay=0.05))
    scheduler = model.lr_scheduler(optimizer, "cosine", total_steps=4)
    model.train().set_epoch(1)
    loss = torch.nn.functional.cross_entropy(model(inputs), torch.tensor([0, 2]))
    loss.backward()
    optimizer.step()
    scheduler.step()
    model.eval()
    with torch.no_grad():
        expected = model(inputs)
        assert expected.shape == (2, 3)
        assert torch.isfinite(expected).all()
        again = fk.load(fk.save(model, tmp_path / "pair"))
        assert torch.equal(again(inputs), expected)
