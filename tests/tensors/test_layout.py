from __future__ import annotations

import pytest
import torch
from torch import nn

from fusionkit.tensors.layout import channels_last, to_channels_last


class Both(nn.Module):
    """Layers over images and over clips, as lambda layers have."""

    def __init__(self) -> None:
        super().__init__()
        self.flat = nn.Conv2d(3, 4, 3)
        self.deep = nn.Conv3d(3, 4, (1, 3, 3))
        self.register_buffer("table", torch.randn(2, 3))
        self.register_buffer("image", torch.randn(1, 3, 4, 5))
        self.tied = nn.Conv2d(3, 4, 3)
        self.tied.weight = self.flat.weight


def test_torch_itself_refuses_a_module_of_both_kinds() -> None:
    with pytest.raises(RuntimeError, match="required rank"):
        Both().to(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("axes", "layout"), [(4, torch.channels_last), (5, torch.channels_last_3d)]
)
def test_what_has_so_many_axes_is_laid_out_and_the_rest_is_left(axes, layout) -> None:
    module = Both()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    known = dict(module.named_parameters())
    to_channels_last(module, axes)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.is_contiguous(memory_format=layout) if value.ndim == axes else True
        assert value.ndim == axes or value.is_contiguous()
    assert all(known[name] is value for name, value in module.named_parameters())
    assert module.tied.weight is module.flat.weight


@pytest.mark.parametrize("layer", [nn.Conv2d(8, 16, 1), nn.Conv2d(8, 8, 3, groups=8)])
def test_weights_that_lie_alike_in_both_layouts_have_the_strides_of_this_one(layer) -> None:
    to_channels_last(layer)
    _, channels, height, width = layer.weight.shape
    assert layer.weight.stride() == (channels * height * width, 1, width * channels, channels)
    x = channels_last(torch.randn(2, 8, 5, 6))
    assert not layer(x).is_contiguous()
    assert layer(x).is_contiguous(memory_format=torch.channels_last)


def test_only_a_tensor_of_these_axes_is_copied() -> None:
    clip = torch.randn(2, 3, 4, 5, 6)
    assert channels_last(clip) is clip
    assert channels_last(clip, 5).is_contiguous(memory_format=torch.channels_last_3d)
