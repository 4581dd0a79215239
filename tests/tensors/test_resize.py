"""Position embeddings at another size."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import interpolate

from fusionkit.errors import CheckpointError
from fusionkit.tensors.resize import resize_tensor


def bicubic(grid, size):
    return interpolate(grid, size=size, mode="bicubic", antialias=True)


@pytest.mark.parametrize("extra", [0, 1, 2, 5])
def test_tokens_before_the_grid_stay_as_they_are(extra):
    value = torch.randn(1, extra + 49, 6)
    resized = resize_tensor("pos_embed", value, (1, extra + 100, 6))
    assert torch.equal(resized[:, :extra], value[:, :extra])
    grid = value[:, extra:].reshape(1, 7, 7, 6).permute(0, 3, 1, 2)
    expected = bicubic(grid, (10, 10)).permute(0, 2, 3, 1).reshape(1, 100, 6)
    torch.testing.assert_close(resized[:, extra:], expected)


def test_timm_gives_the_same():
    from timm.layers import resample_abs_pos_embed

    value = torch.randn(1, 197, 12)
    ours = resize_tensor("pos_embed", value, (1, 257, 12))
    torch.testing.assert_close(ours, resample_abs_pos_embed(value, [16, 16], num_prefix_tokens=1))


def test_a_table_without_a_batch():
    value = torch.randn(50, 6)
    expected = resize_tensor("x", value[None], (1, 82, 6))[0]
    assert torch.equal(resize_tensor("x", value, (82, 6)), expected)


def test_grids_channels_first_and_last():
    value = torch.randn(1, 6, 7, 9)
    torch.testing.assert_close(resize_tensor("x", value, (1, 6, 14, 5)), bicubic(value, (14, 5)))
    last = value.permute(0, 2, 3, 1).contiguous()
    torch.testing.assert_close(
        resize_tensor("x", last, (1, 14, 5, 6)), bicubic(value, (14, 5)).permute(0, 2, 3, 1)
    )


def test_a_constant_stays_constant_and_keeps_its_type():
    resized = resize_tensor("x", torch.full((1, 17, 2), 3.0, dtype=torch.float16), (1, 26, 2))
    assert resized.dtype == torch.float16
    assert (resized == 3).all()


@pytest.mark.parametrize(
    ("was", "shape"),
    [
        ((1, 49, 6), (1, 49, 7)),
        ((1, 50, 6), (1, 49, 6)),
        ((6,), (7,)),
        ((3, 3), (3, 4)),
        ((1, 49, 6), (49, 6)),
        ((2, 3, 7, 7), (2, 4, 7, 9)),
        ((8, 3, 5, 5), (8, 3, 3, 3)),
        ((8, 5, 5, 3), (8, 3, 3, 3)),
    ],
    ids=str,
)
def test_what_is_no_grid_is_refused(was, shape):
    with pytest.raises(CheckpointError, match=r"'pos' cannot be resized from .* to"):
        resize_tensor("pos", torch.zeros(was), shape)
