"""What a backbone refuses to be called with."""

from __future__ import annotations

import pytest
import torch
from toys import TinyNet

import fusionkit as fk


def test_images_with_the_channels_last_are_told_what_to_write():
    images = torch.rand(2, 16, 12, 3)
    with pytest.raises(fk.DataError) as caught:
        TinyNet().check_input(images)
    assert str(caught.value) == (
        "takes 'b c h w', got shape (2, 16, 12, 3) with the channels last; "
        "write x.permute(0, 3, 1, 2)"
    )
    TinyNet().check_input(images.permute(0, 3, 1, 2))


def test_images_three_pixels_wide_are_not_taken_for_channels_last():
    TinyNet().check_input(torch.rand(2, 3, 16, 3))
    with pytest.raises(fk.DataError, match=r"takes 3 channels, got 4 in shape \(2, 4, 16, 5\)"):
        TinyNet().check_input(torch.rand(2, 4, 16, 5))
