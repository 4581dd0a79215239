"""One small model of every family of torchvision, with weights that hide nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import get_model_builder
from torchvision.models.video import mvit as mvit_module

from fusionkit import Backbone
from fusionkit.providers.torchvision.build import build_backbone


@dataclass(frozen=True)
class Example:
    """One model, how small its input may be, and its coarsest map written by hand."""

    name: str
    last_map: Callable[[Any, Tensor], Tensor]
    size: int = 64
    frames: int = 0
    batch: int = 2
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def classes(self) -> int:
        return 400 if self.frames else 1000

    def inputs(self, channels: int = 3) -> Tensor:
        middle = (self.frames,) if self.frames else ()
        generator = torch.Generator().manual_seed(1)
        shape = (self.batch, channels, *middle, self.size, self.size)
        return torch.randn(shape, generator=generator)

    def meta(self) -> AbstractContextManager[Any]:
        """Gives the device that computes nothing; torchvision's RegNet cannot be built there."""
        return torch.device("cpu" if self.name.startswith("regnet") else "meta")

    def build(self, **changes: Any) -> Backbone:
        with small_clips():
            return build_backbone(self.name, **{**self.options, **changes})

    def stock(self) -> Any:
        """Gives torchvision's own model, on the meta device where that is possible."""
        options = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in self.options.items()
        }
        if self.name in ("googlenet", "inception_v3"):
            options |= {"init_weights": False}
        with self.meta(), small_clips():
            return get_model_builder(self.name)(weights=None, **options)


@contextmanager
def small_clips() -> Iterator[None]:
    """Lets torchvision build MViT, which has no option for it, for clips that take no minute."""
    build = mvit_module._mvit

    def build_small(*args: Any, **options: Any) -> Any:
        return build(*args, **{**options, "spatial_size": (64, 64), "temporal_size": 4})

    with mock.patch.object(mvit_module, "_mvit", build_small):
        yield


def features(trunk: Any, x: Tensor) -> Tensor:
    return trunk.features(x)


def resnet(trunk: Any, x: Tensor) -> Tensor:
    x = trunk.maxpool(trunk.relu(trunk.bn1(trunk.conv1(x))))
    return trunk.layer4(trunk.layer3(trunk.layer2(trunk.layer1(x))))


def video_resnet(trunk: Any, x: Tensor) -> Tensor:
    x = trunk.layer2(trunk.layer1(trunk.stem(x)))
    return trunk.layer4(trunk.layer3(x)).mean(2)


def shufflenet(trunk: Any, x: Tensor) -> Tensor:
    x = trunk.maxpool(trunk.conv1(x))
    return trunk.conv5(trunk.stage4(trunk.stage3(trunk.stage2(x))))


def googlenet(trunk: Any, x: Tensor) -> Tensor:
    x = trunk.maxpool2(trunk.conv3(trunk.conv2(trunk.maxpool1(trunk.conv1(x)))))
    x = trunk.maxpool3(trunk.inception3b(trunk.inception3a(x)))
    x = trunk.inception4c(trunk.inception4b(trunk.inception4a(x)))
    x = trunk.maxpool4(trunk.inception4e(trunk.inception4d(x)))
    return trunk.inception5b(trunk.inception5a(x))


def inception(trunk: Any, x: Tensor) -> Tensor:
    x = trunk.Conv2d_2b_3x3(trunk.Conv2d_2a_3x3(trunk.Conv2d_1a_3x3(x)))
    x = trunk.maxpool2(trunk.Conv2d_4a_3x3(trunk.Conv2d_3b_1x1(trunk.maxpool1(x))))
    x = trunk.Mixed_6a(trunk.Mixed_5d(trunk.Mixed_5c(trunk.Mixed_5b(x))))
    x = trunk.Mixed_6e(trunk.Mixed_6d(trunk.Mixed_6c(trunk.Mixed_6b(x))))
    return trunk.Mixed_7c(trunk.Mixed_7b(trunk.Mixed_7a(x)))


def maxvit(trunk: Any, x: Tensor) -> Tensor:
    x = trunk.stem(x)
    for block in trunk.blocks:
        x = block(x)
    return x


def vit(trunk: Any, x: Tensor) -> Tensor:
    x = trunk._process_input(x)
    x = trunk.encoder(torch.cat([trunk.class_token.expand(len(x), -1, -1), x], dim=1))
    side = trunk.image_size // trunk.patch_size
    return x[:, 1:].transpose(1, 2).reshape(len(x), -1, side, side)


def mvit(trunk: Any, x: Tensor) -> Tensor:
    x = trunk.pos_encoding(trunk.conv_proj(x).flatten(2).transpose(1, 2))
    shape = (trunk.pos_encoding.temporal_size, *trunk.pos_encoding.spatial_size)
    for block in trunk.blocks:
        x, shape = block(x, shape)
    x = trunk.norm(x)[:, 1:]
    return x.transpose(1, 2).reshape(len(x), -1, *shape).mean(2)


def swin(trunk: Any, x: Tensor) -> Tensor:
    return trunk.norm(trunk.features(x)).permute(0, 3, 1, 2)


def swin3d(trunk: Any, x: Tensor) -> Tensor:
    x = trunk.norm(trunk.features(trunk.pos_drop(trunk.patch_embed(x))))
    return x.permute(0, 4, 1, 2, 3).mean(2)


EXAMPLES = [
    Example("alexnet", features),
    Example("convnext_tiny", features),
    Example("densenet121", lambda trunk, x: F.relu(trunk.features(x))),
    Example("efficientnet_b0", features),
    Example("efficientnet_v2_s", features),
    Example("googlenet", googlenet),
    Example("inception_v3", inception, size=96),
    Example("maxvit_t", maxvit, size=224, batch=1),
    Example("mnasnet0_5", lambda trunk, x: trunk.layers(x)),
    Example("mobilenet_v2", features),
    Example("mobilenet_v3_small", features),
    Example("regnet_y_400mf", lambda trunk, x: trunk.trunk_output(trunk.stem(x))),
    Example("resnet18", resnet),
    Example("shufflenet_v2_x0_5", shufflenet),
    Example("squeezenet1_1", features),
    Example("swin_t", swin),
    Example("swin_v2_t", swin),
    Example("vgg11_bn", features),
    Example("vit_b_32", vit, options={"image_size": 64}),
    Example("mvit_v2_s", mvit, frames=4),
    Example("r3d_18", video_resnet, frames=4),
    Example("s3d", lambda trunk, x: trunk.features(x).mean(2), size=209, frames=13, batch=1),
    Example("swin3d_t", swin3d, frames=4),
]


def perturb(trunk: nn.Module, x: Tensor) -> None:
    """Moves every parameter and norm statistic away from where initialisation left it.

    The statistics are those of ``x``, and a little noise, so that no signal dies on its way.
    """
    generator = torch.Generator().manual_seed(0)

    def noise(value: Tensor) -> Tensor:
        return torch.randn(value.shape, generator=generator)

    norms = [m for m in trunk.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    with torch.no_grad():
        for parameter in trunk.parameters():
            drawn = noise(parameter)
            parameter.mul_(1 + 0.1 * drawn).add_(0.02 * drawn.flip(0))
        if not norms:
            return
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 1.0
        trunk.train()(x)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.add_(0.1 * norm.running_var.sqrt() * noise(norm.running_mean))
            norm.running_var.mul_(1 + 0.2 * noise(norm.running_var).abs())
