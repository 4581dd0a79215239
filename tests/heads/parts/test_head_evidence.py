"""The evidence of a Gaussian process, and the shares that it gives to branches."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from fusionkit.heads.parts.evidence import ENOUGH, evidence, weigh_branches


def draw(signals, count=24, width=5, classes=3, seed=0):
    """Gives vectors by branch whose classes lie the farther apart the larger its signal."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    blocks = []
    for signal in signals:
        centres = torch.randn(classes, width, generator=generator) * signal
        blocks.append(centres[labels] + torch.randn(count, width, generator=generator))
    return blocks, labels


def centred_kernel(block):
    x = block.double() - block.double().mean(0)
    return x @ x.T / x.square().sum(1).mean()


@pytest.mark.parametrize("strengths", [(0.0, 0.0), (2.0, -3.0)])
def test_evidence_is_the_density_of_targets_at_their_best_variance(strengths):
    blocks, labels = draw((1.0, 0.5), count=12)
    kernels = torch.stack([centred_kernel(block) for block in blocks])
    targets = F.one_hot(labels, 3).double()
    targets = targets - targets.mean(0)
    count = len(labels)
    covariance = torch.eye(count, dtype=torch.float64)
    for strength, kernel in zip(strengths, kernels, strict=True):
        covariance = covariance + math.exp(strength) * kernel
    # what is centred lies in count - 1 dimensions: any basis of these gives the density
    basis = torch.linalg.svd(torch.ones(1, count, dtype=torch.float64)).Vh[1:]
    inside = basis @ covariance @ basis.T
    expected = 0.0
    for column in targets.T:
        seen = basis @ column
        variance = float(seen @ torch.linalg.solve(inside, seen)) / (count - 1)
        normal = torch.distributions.MultivariateNormal(torch.zeros_like(seen), variance * inside)
        constant = (count - 1) * (1 + math.log(2 * math.pi)) / 2
        expected += float(normal.log_prob(seen)) + constant
    found = evidence(kernels, targets, torch.tensor(strengths, dtype=torch.float64))
    assert float(found) == pytest.approx(expected)


def test_shares_are_those_of_the_most_evidence():
    blocks, labels = draw((1.5, 1.5))
    kernels = torch.stack([centred_kernel(block) for block in blocks])
    targets = F.one_hot(labels, 3).double()
    targets = targets - targets.mean(0)
    grid = torch.linspace(-8, 8, 65, dtype=torch.float64)
    found = {
        (float(one), float(other)): float(evidence(kernels, targets, torch.stack([one, other])))
        for one in grid
        for other in grid
    }
    one, other = max(found, key=found.get)
    wanted = 1 / (1 + math.exp(other - one))
    shares = weigh_branches(blocks, labels, 3)
    assert float(shares.sum()) == pytest.approx(1)
    assert float(shares[0]) == pytest.approx(wanted, abs=0.05)


@pytest.mark.parametrize("count", [9, 60])
def test_a_branch_that_says_nothing_is_silenced(count):
    blocks, labels = draw((4.0, 0.0, 0.0), count=count)
    shares = weigh_branches(blocks, labels, 3)
    assert shares[0] > 0.9


def test_the_order_of_branches_does_not_matter():
    blocks, labels = draw((2.0, 1.0, 0.5))
    shares = weigh_branches(blocks, labels, 3)
    turned = weigh_branches(blocks[::-1], labels, 3)
    torch.testing.assert_close(turned.flip(0), shares, rtol=0, atol=1e-4)


def test_the_scale_of_a_branch_does_not_matter():
    blocks, labels = draw((2.0, 1.0))
    shares = weigh_branches(blocks, labels, 3)
    scaled = weigh_branches([blocks[0] * 1000 + 7, blocks[1] / 1000], labels, 3)
    torch.testing.assert_close(scaled, shares, rtol=0, atol=1e-4)


def test_a_branch_that_never_varies_has_no_share():
    blocks, labels = draw((1.0, 1.0))
    assert weigh_branches([torch.ones(24, 4), blocks[1]], labels, 3).tolist() == [0, 1]


def test_where_nothing_can_be_told_all_have_the_same_share():
    blocks, labels = draw((1.0, 1.0))
    assert weigh_branches([torch.ones(24, 4)] * 2, labels, 3).tolist() == [0.5, 0.5]
    assert weigh_branches(blocks, torch.zeros_like(labels), 3).tolist() == [0.5, 0.5]


def test_classes_that_do_not_occur_do_not_matter():
    blocks, labels = draw((2.0, 1.0))
    assert torch.equal(weigh_branches(blocks, labels, 3), weigh_branches(blocks, labels, 9))


def test_one_branch_has_everything():
    blocks, labels = draw((1.0,))
    assert weigh_branches(blocks, labels, 3).tolist() == [1]


def test_of_many_samples_some_are_drawn(monkeypatch):
    blocks, labels = draw((2.0, 0.0), count=ENOUGH + 200)
    seen = []

    def note(kernels, targets, strengths):
        seen.append(kernels.shape[1:])
        return evidence(kernels, targets, strengths)

    monkeypatch.setattr("fusionkit.heads.parts.evidence.evidence", note)
    assert weigh_branches(blocks, labels, 3)[0] > 0.9
    assert set(seen) == {(ENOUGH, ENOUGH)}
