"""One small model of each timm family that differs, and how to make faults in it show."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

ZOO: dict[str, dict[str, Any]] = {
    "test_resnet": {},
    "resnet10t": {},
    "test_byobnet": {},
    "test_efficientnet": {},
    "mobilenetv3_small_050": {},
    "mobilenetv4_conv_small_035": {},
    "densenet121": {},
    "convnext_atto": {},
    "test_nfnet": {},
    "poolformerv2_s12": {},
    "csatv2": {},
    "rdnet_tiny": {},
    "tresnet_m": {},
    "inception_v3": {},
    "hgnetv2_b0": {},
    "repvit_m0_9": {},
    "efficientvim_m1_dist": {},
    "test_vit": {},
    "vit_tiny_patch16_224": {"img_size": 64},
    "vit_small_patch14_dinov2": {"img_size": 56},
    "deit_tiny_distilled_patch16_224": {"img_size": 64},
    "swin_tiny_patch4_window7_224": {"img_size": 64},
    "cait_xxs24_224": {"img_size": 64},
    "coat_lite_tiny": {"img_size": 64},
    "pit_ti_224": {"img_size": 64},
    "xcit_nano_12_p16_224": {"img_size": 64},
    "mixer_s32_224": {"img_size": 64},
    "eva02_tiny_patch14_224": {"img_size": 56},
    "test_coatnet": {"img_size": 64},
    "hiera_tiny_224": {"img_size": 64},
    "sequencer2d_s": {"img_size": 64},
    "levit_128s": {},
    "tiny_vit_5m_224": {},
    "efficientformer_l1": {},
    "efficientformerv2_s0": {},
    "efficientvit_m0": {},
    "naflexvit_base_patch16_gap": {},
}

CACHES_IN_EVAL = (
    "levit_128s",
    "tiny_vit_5m_224",
    "efficientformer_l1",
    "efficientformerv2_s0",
    "efficientvit_m0",
)


def perturb(module: nn.Module, seed: int = 0) -> None:
    """Moves every parameter and norm statistic away from its initial value."""
    generator = torch.Generator().manual_seed(seed)

    def noise(value: Tensor) -> Tensor:
        return torch.randn(value.shape, generator=generator)

    with torch.no_grad():
        for value in module.parameters():
            value.add_(0.02 * noise(value))
        for name, value in module.named_buffers():
            if name.endswith("running_mean"):
                value.add_(0.1 * noise(value))
            elif name.endswith("running_var"):
                value.mul_(1 + 0.5 * torch.rand(value.shape, generator=generator))


def picture(backbone: Any, batch: int = 2) -> Tensor:
    """Gives an input of the only size that a backbone takes, or else of a small one."""
    height, width = backbone.fixed_size or (96, 96)
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, backbone.in_channels, height, width, generator=generator)
