"""Pretrains the two small backbones that `fusionkit demo` fuses.

    python examples/pretrain_digits.py --out fusionkit/demo/weights

They see the digits 0 to 4 only, and of those only the writers before the demo's held-out part.
500 images of five classes teach little that other digits could use, so each image is also turned
and mirrored, and the network has to say which digit it sees *and* in which of the eight
orientations: forty classes. The forty-way classifier is thrown away; what is saved is the trunk,
under the names that torchvision and timm give its parameters.

Takes some minutes for each backbone on one core. The same seed and machine give the same weights.
"""

import argparse
import json
import math
import time
from dataclasses import asdict
from pathlib import Path

import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from fusionkit.demo.backbones import PREPARATION, SOURCES
from fusionkit.demo.digits import KNOWN, Digits

ORIENTATIONS = 8
OUTPUTS = len(KNOWN) * ORIENTATIONS


def build_convnet() -> nn.Module:
    model = torchvision.models.shufflenet_v2_x0_5(num_classes=OUTPUTS)
    model.conv1[0] = nn.Conv2d(1, 24, kernel_size=3, stride=2, padding=1, bias=False)
    return model


def build_transformer() -> nn.Module:
    options = SOURCES["transformer"].options
    return timm.create_model("test_vit", in_chans=1, num_classes=OUTPUTS, **options)


RECIPES = {
    "convnet": (build_convnet, "fc.", 3e-3),
    "transformer": (build_transformer, "head.", 2e-3),
}


def prepare(images: Tensor) -> Tensor:
    """Enlarges and normalises, as `Branch(preprocessing=PREPARATION)` does in the demo."""
    large = functional.interpolate(images, PREPARATION.size, mode="bilinear", antialias=True)
    return (large - PREPARATION.mean[0]) / PREPARATION.std[0]


def distort(images: Tensor, orientation: Tensor, generator: torch.Generator) -> Tensor:
    """Puts each image into its orientation, and turns, shears, stretches and shifts it a little."""

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(len(images)).uniform_(low, high, generator=generator)

    angle, shear = uniform(-math.pi / 9, math.pi / 9), uniform(-0.3, 0.3)
    wide, high = uniform(0.8, 1.2), uniform(0.8, 1.2)
    cos, sin = angle.cos(), angle.sin()
    bend = torch.stack([wide * cos, wide * (shear - sin), high * sin, high * cos], 1).view(-1, 2, 2)

    flip_x = 1.0 - 2 * (orientation & 1)
    flip_y = 1.0 - 2 * (orientation >> 1 & 1)
    turn = torch.diag_embed(torch.stack([flip_x, flip_y], 1))
    turn = torch.where((orientation >> 2).view(-1, 1, 1) == 1, turn.flip(2), turn)

    shift = torch.stack([uniform(-0.15, 0.15), uniform(-0.15, 0.15)], 1).unsqueeze(2)
    grid = functional.affine_grid(
        torch.cat([bend @ turn, shift], 2), list(images.shape), align_corners=False
    )
    ground = (0 - PREPARATION.mean[0]) / PREPARATION.std[0]
    moved = functional.grid_sample(images - ground, grid, align_corners=False)
    return moved * uniform(0.8, 1.2).view(-1, 1, 1, 1) + ground


def pretrain(model: nn.Module, data: Digits, lr: float, epochs: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = prepare(data.images)
    batches = math.ceil(len(data) / 64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=epochs * batches)
    start = time.perf_counter()
    model.train()
    for epoch in range(epochs):
        total = 0.0
        for rows in torch.randperm(len(data), generator=generator).chunk(batches):
            orientation = torch.randint(ORIENTATIONS, rows.shape, generator=generator)
            logits = model(distort(images[rows], orientation, generator))
            target = data.labels[rows] * ORIENTATIONS + orientation
            loss = functional.cross_entropy(logits, target, label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        if (epoch + 1) % 50 == 0:
            seconds = time.perf_counter() - start
            print(
                f"  epoch {epoch + 1:4d}  loss {total / batches:.3f}  {seconds:.0f} s", flush=True
            )
    model.eval()


@torch.no_grad()
def measure(model: nn.Module, data: Digits) -> float:
    """Gives the share of upright digits that are recognised, whatever orientation is named."""
    named = model(prepare(data.images)).argmax(1) // ORIENTATIONS
    return (named == data.labels).float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("weights"))
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=sorted(RECIPES))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)

    digits = Digits.read()
    train, held_out = digits.of(KNOWN, held_out=False), digits.of(KNOWN, held_out=True)
    for name in [arguments.only] if arguments.only else sorted(RECIPES):
        build, classifier, lr = RECIPES[name]
        source = SOURCES[name]
        print(f"{source.backbone}: {len(train)} images of the digits {KNOWN}")
        torch.manual_seed(arguments.seed)
        model = build()
        pretrain(model, train, lr, arguments.epochs, arguments.seed)
        accuracy = measure(model, held_out)
        trunk = {
            key: tensor.contiguous()
            for key, tensor in model.state_dict().items()
            if not key.startswith(classifier)
        }
        metadata = {
            "format": "pt",
            "model": source.backbone,
            "options": json.dumps({"in_channels": 1, **source.options}),
            "preprocessing": json.dumps(asdict(PREPARATION)),
            "pretrained_on": f"digits {KNOWN} in eight orientations, {len(train)} images",
            "held_out_accuracy": f"{accuracy:.4f} on {len(held_out)} upright images",
            "data": "Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, 1998, "
            "UCI Machine Learning Repository, CC BY 4.0, as in scikit-learn",
            "licence": "Apache-2.0",
        }
        path = arguments.out / source.file
        save_file(trunk, path, metadata=metadata)
        path.chmod(0o644)
        print(f"  held-out accuracy {accuracy:.3f} -> {path} ({path.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
