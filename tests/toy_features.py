"""Branches without backbones: their declared widths, and random features that fit them."""

from __future__ import annotations

from collections.abc import Iterable

import torch

import fusionkit as fk

NAMES = ("audio", "image", "text")
NUM_CLASSES = 4

# Fine to coarse; strides, widths and sizes differ, and widths are odd.
LEVELS = {
    "audio": (fk.Level(3, 8), fk.Level(5, 32)),
    "image": (fk.Level(6, 4), fk.Level(7, 16)),
    "text": (fk.Level(5, 8), fk.Level(3, 32)),
}
EMBED_DIMS = {"audio": 5, "image": 7, "text": 3}
IMAGE_SIZE = (96, 160)


def make_inputs(
    count: int = 3,
    *,
    classifiers: Iterable[str] = (),
    channels: int | None = None,
    stride: int | None = None,
) -> dict[str, fk.HeadInput]:
    """The first ``count`` branches; those in ``classifiers`` have logits."""
    kept = set(classifiers)
    return {
        name: fk.HeadInput(
            embed_dim=EMBED_DIMS[name],
            levels=tuple(
                fk.Level(channels or level.channels, stride or level.stride)
                for level in LEVELS[name]
            ),
            num_classes=NUM_CLASSES if name in kept else None,
        )
        for name in NAMES[:count]
    }


def make_features(
    head: fk.FusionHead,
    inputs: dict[str, fk.HeadInput],
    *,
    batch: int = 3,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    requires_grad: bool = False,
    image_size: tuple[int, int] = IMAGE_SIZE,
) -> dict[str, fk.Features]:
    """Exactly what ``head.reads`` asks for of each branch, as the core would give it."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        values = torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)
        return values.requires_grad_(requires_grad)

    features = {}
    for name, given in inputs.items():
        reads = head.reads if isinstance(head.reads, (str, fk.Reads)) else head.reads[name]
        reads = fk.Reads.parse(reads) if isinstance(reads, str) else reads
        maps = []
        for index in reads.resolve(len(given.levels)).maps:
            level = given.levels[index]
            height, width = (max(side // level.stride, 1) for side in image_size)
            maps.append(draw(batch, level.channels, height, width))
        features[name] = fk.Features(
            vector=draw(batch, given.embed_dim) if reads.vector else None,
            maps=tuple(maps),
            logits=draw(batch, NUM_CLASSES) if reads.logits else None,
        )
    return features


def leaves(features: dict[str, fk.Features]) -> list[torch.Tensor]:
    """The tensors of the features, in the order of the branches."""
    found = []
    for feature in features.values():
        found += [t for t in (feature.vector, *feature.maps, feature.logits) if t is not None]
    return found


def perturb(module: torch.nn.Module, seed: int = 7) -> None:
    """Moves every parameter and statistic off its initial value, which could hide a fault."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.add_(0.3 * torch.randn(tensor.shape, generator=generator).to(tensor))
        for name, tensor in module.named_buffers():
            if tensor.is_floating_point():
                shift = torch.rand(tensor.shape, generator=generator).to(tensor)
                tensor.copy_(tensor + shift if "var" in name else shift)


def assert_same_with_gradients(
    actual: torch.Tensor, expected: torch.Tensor, wanted: list[torch.Tensor]
) -> None:
    """Compares two float64 results and their gradients with respect to ``wanted``."""
    assert actual.dtype == torch.float64
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)
    cotangent = torch.randn(actual.shape, generator=torch.Generator().manual_seed(3)).double()
    got = torch.autograd.grad(actual, wanted, cotangent, retain_graph=True)
    due = torch.autograd.grad(expected, wanted, cotangent, retain_graph=True)
    for one, other in zip(got, due, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)
