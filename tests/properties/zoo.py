"""Some fifty models, one of each kind that differs, at inputs as small as each allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

import fusionkit as fk


@dataclass(frozen=True)
class Specimen:
    """One model of the zoo.

    Attributes:
        name: ``provider/model``.
        shape: of one input, without the batch.
        kind: why it is here.
        options: to make it small.
    """

    name: str
    shape: tuple[int, ...] = (3, 64, 64)
    kind: str = "cnn"
    options: Mapping[str, Any] = field(default_factory=dict)

    def branch(self, **arguments: Any) -> fk.Branch:
        """Gives a branch of it with random weights."""
        return fk.Branch(self.name, weights=None, options=self.options, **arguments)

    def example(self, batch: int = 4, seed: int = 0) -> Tensor:
        """Gives a batch that it takes."""
        return torch.randn(batch, *self.shape, generator=torch.Generator().manual_seed(seed))


def _timm(name: str, size: int = 64, kind: str = "cnn", **options: Any) -> Specimen:
    return Specimen(f"timm/{name}", (3, size, size), kind, options)


def _torchvision(name: str, size: int = 64, kind: str = "cnn", **options: Any) -> Specimen:
    return Specimen(f"torchvision/{name}", (3, size, size), kind, options)


ZOO = (
    _timm("resnet18"),
    _timm("densenet121"),
    _timm("mobilenetv3_small_050", kind="pooled width is not num_features"),
    _timm("efficientnet_b0", kind="drop path", drop_path_rate=0.2),
    _timm("regnetx_002"),
    _timm("ghostnet_050"),
    _timm("repvgg_a0", kind="several branches in a block"),
    _timm("nf_regnet_b0", kind="weights standardised in forward"),
    _timm("inception_next_atto"),
    _timm("convnext_atto", kind="layer norm"),
    _timm("convnextv2_atto", kind="global response norm"),
    _timm("fastvit_t8", kind="hybrid"),
    _timm("mobilevit_xxs", kind="hybrid"),
    _timm("edgenext_xx_small", kind="hybrid"),
    _timm("mobileone_s0"),
    _timm("vit_tiny_patch16_224", kind="tokens", img_size=64),
    _timm("deit_tiny_distilled_patch16_224", kind="two class tokens", img_size=64),
    _timm("eva02_tiny_patch14_224", 56, "non-persistent buffers", img_size=56),
    _timm("xcit_nano_12_p16_224", kind="tokens"),
    _timm("cait_xxs24_224", kind="late class token", img_size=64),
    _timm("crossvit_tiny_240", 240, "two resolutions in one"),
    _timm("pit_ti_224", kind="no group matcher", img_size=64),
    _timm("caformer_s18", kind="no group matcher"),
    _timm("poolformer_s12", kind="no attention"),
    _timm("mixer_s32_224", kind="perceptron", img_size=64),
    _timm("gmlp_ti16_224", kind="perceptron", img_size=64),
    _timm("swin_tiny_patch4_window7_224", kind="NHWC", img_size=64, window_size=2),
    _timm("swinv2_cr_tiny_ns_224", kind="NHWC", img_size=64, window_size=2),
    _timm("pvt_v2_b0"),
    _timm("twins_pcpvt_small", kind="no NHWC though hierarchical"),
    _timm("levit_128s", kind="caches in eval mode", img_size=64),
    _timm("tiny_vit_5m_224", 224, "caches in eval mode"),
    _timm("efficientformer_l1", 224, "caches in eval mode"),
    _timm("efficientvit_m0", kind="caches in eval mode", img_size=64),
    _timm("coat_lite_tiny", kind="conv and tokens", img_size=64),
    _timm("mvitv2_tiny", kind="multi-scale tokens", img_size=64),
    _torchvision("resnet18"),
    _torchvision("googlenet", kind="auxiliary logits"),
    _torchvision("inception_v3", 96, "auxiliary logits"),
    _torchvision("squeezenet1_1", kind="convolutional classifier"),
    _torchvision("mobilenet_v3_small", kind="classifier with a hidden layer"),
    _torchvision("shufflenet_v2_x0_5"),
    _torchvision("mnasnet0_5"),
    _torchvision("densenet121", kind="functional dropout"),
    _torchvision("regnet_y_400mf"),
    _torchvision("efficientnet_b0", kind="stochastic depth"),
    _torchvision("convnext_tiny", kind="layer scale"),
    _torchvision("swin_t", kind="NHWC"),
    _torchvision("vit_b_16", 32, "tokens", image_size=32),
    _torchvision("maxvit_t", 224, "grid attention"),
    Specimen("torchvision/r3d_18", (3, 4, 32, 32), "video"),
)

SMALL = tuple(specimen for specimen in ZOO if specimen.shape[-1] <= 96)


def identify(specimen: Specimen) -> str:
    """Gives a specimen's name for test ids."""
    return specimen.name.replace("/", "-")
