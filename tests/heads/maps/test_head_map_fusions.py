"""How conv fusion starts, and how max fusion shares its gradient."""

from __future__ import annotations

import torch
from torch import nn

from fusionkit.heads.maps.map_fusions import ConvFusion, MaxFusion


def test_conv_starts_as_identities_and_rotations():
    fusion = ConvFusion([4, 3, 4], 4)
    first, other, last = fusion.conv.weight[:, :, 0, 0].split([4, 3, 4], dim=1)
    assert torch.equal(first, torch.eye(4))
    assert torch.equal(last, torch.eye(4))
    torch.testing.assert_close(other.T @ other, torch.eye(3))
    assert torch.equal(fusion.conv.bias, torch.zeros(4))
    assert isinstance(fusion.conv.weight, nn.Parameter)


def test_max_shares_the_gradient_where_streams_are_equal():
    x = torch.zeros(1, 2, 3, 3, requires_grad=True)
    y = torch.zeros(1, 2, 3, 3, requires_grad=True)
    MaxFusion()([x, y]).sum().backward()
    assert torch.equal(x.grad, torch.full_like(x, 0.5))
    assert torch.equal(y.grad, x.grad)
