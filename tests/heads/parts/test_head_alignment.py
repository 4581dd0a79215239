"""The shares that branches have by what is alike in them."""

from __future__ import annotations

import pytest
import torch

from fusionkit.heads.parts import alignment
from fusionkit.heads.parts.alignment import ENOUGH, weigh_branches


def draw(signals, count=24, width=5, classes=3, seed=0):
    """Gives vectors by branch whose classes lie the farther apart the larger its signal."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    blocks = []
    for signal in signals:
        centres = torch.randn(classes, width, generator=generator) * signal
        blocks.append(centres[labels] + torch.randn(count, width, generator=generator))
    return blocks, labels


def compare_pairs(rows):
    """Gives the products of all pairs of centred rows, in loops, with mean 0 and length 1."""
    count = len(rows)
    centred = rows.double() - rows.double().mean(0)
    found = [
        float(sum(centred[i] * centred[j])) for i in range(count) for j in range(count) if i != j
    ]
    products = torch.tensor(found, dtype=torch.float64)
    products = products - products.mean()
    return products / products.norm()


def test_shares_are_those_that_explain_best_which_samples_are_of_one_class():
    blocks, labels = draw((1.5, 1.0), count=12)
    one, other = (compare_pairs(block) for block in blocks)
    classes = compare_pairs(torch.nn.functional.one_hot(labels))
    grid = torch.linspace(0, 1, 101, dtype=torch.float64)
    misfits = {
        (float(a), float(b)): float((classes - a * one - b * other).square().sum())
        for a in grid
        for b in grid
    }
    a, b = min(misfits, key=misfits.get)
    assert a > 0.1
    assert b > 0.1
    shares = weigh_branches(blocks, labels)
    assert float(shares.sum()) == pytest.approx(1)
    assert float(shares[0]) == pytest.approx(a / (a + b), abs=0.02)


@pytest.mark.parametrize("count", [9, 60])
def test_a_branch_that_says_nothing_has_next_to_no_share(count):
    shares = torch.stack(
        [weigh_branches(*draw((4.0, 0.0, 0.0), count=count, seed=seed)) for seed in range(10)]
    )
    assert shares[:, 0].mean() > 0.9


def test_noise_of_many_dimensions_has_little_share_too():
    """Its inner products hardly vary: without standardising a chance hit has a third and more."""
    shares = []
    for seed in range(20):
        (good,), labels = draw((2.0,), count=10, classes=2, seed=seed)
        noise = torch.randn(10, 500, generator=torch.Generator().manual_seed(seed))
        shares.append(weigh_branches([good, noise], labels)[1])
    assert torch.stack(shares).mean() < 0.15


def test_what_explains_nothing_beyond_the_others_has_next_to_no_share():
    shares = []
    for seed in range(10):
        (good,), labels = draw((3.0,), seed=seed)
        noise = torch.randn(24, 5, generator=torch.Generator().manual_seed(seed + 100))
        shares.append(weigh_branches([good, good + 5 * noise], labels)[1])
    assert torch.stack(shares).mean() < 0.1


def test_branches_that_say_the_same_have_the_same_share():
    blocks, labels = draw((2.0,))
    shares = weigh_branches([blocks[0], blocks[0]], labels)
    torch.testing.assert_close(shares, torch.full_like(shares, 0.5))


def test_the_order_of_branches_does_not_matter():
    blocks, labels = draw((2.0, 1.0, 0.5))
    shares = weigh_branches(blocks, labels)
    turned = weigh_branches(blocks[::-1], labels)
    torch.testing.assert_close(turned.flip(0), shares, rtol=0, atol=1e-4)


def test_the_scale_of_a_branch_does_not_matter():
    blocks, labels = draw((2.0, 1.0))
    shares = weigh_branches(blocks, labels)
    scaled = weigh_branches([blocks[0] * 1000 + 7, blocks[1] / 1000], labels)
    torch.testing.assert_close(scaled, shares, rtol=0, atol=1e-4)


def test_a_branch_that_never_varies_has_no_share():
    blocks, labels = draw((1.0, 1.0))
    assert weigh_branches([torch.full((24, 4), 0.1), blocks[1]], labels).tolist() == [0, 1]


def test_where_nothing_can_be_told_all_have_the_same_share():
    blocks, labels = draw((1.0, 1.0))
    assert weigh_branches([torch.full((24, 4), 0.1)] * 2, labels).tolist() == [0.5, 0.5]
    assert weigh_branches(blocks, torch.zeros_like(labels)).tolist() == [0.5, 0.5]
    two = [block[:2] for block in blocks]
    assert weigh_branches(two, torch.tensor([0, 1])).tolist() == [0.5, 0.5]


def test_one_branch_has_everything():
    blocks, labels = draw((1.0,))
    assert weigh_branches(blocks, labels).tolist() == [1]


def test_of_many_samples_some_are_drawn(monkeypatch):
    blocks, labels = draw((2.0, 0.0), count=ENOUGH + 200)
    seen = []
    drawn = alignment.draw_evenly

    def note(given, count):
        seen.append(drawn(given, count))
        return seen[-1]

    monkeypatch.setattr(alignment, "draw_evenly", note)
    shares = weigh_branches(blocks, labels)
    assert shares[0] > 0.9
    (rows,) = seen
    assert len(rows) == ENOUGH
    assert torch.equal(weigh_branches([block[rows] for block in blocks], labels[rows]), shares)
