"""Tells ants from bees with two ImageNet networks: each alone, averaged, and concatenated.

    python examples/ants_bees.py

Photographs and checkpoints are taken from `$FUSIONKIT_SHARED/data` (by default `../shared/data`);
what is not there is downloaded. Takes some minutes on two CPU cores.

With the checkpoints of the shared folder and four epochs, MobileNetV2 alone gets .954 of 153
photographs right, SqueezeNet .895, their average and their concatenation .941 each: a naive fusion
of a strong and a weak network need not beat the strong one (one photograph is .0065).
"""

import argparse
import math
import os
import time
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.request import urlretrieve

import torch
from PIL import Image
from rich.console import Console
from torch import Tensor
from torch.nn.functional import cross_entropy

import fusionkit as fk
from fusionkit.demo.report import Line, count_trainable, table

SHARED = Path(os.environ.get("FUSIONKIT_SHARED", "../shared")) / "data"
PHOTOGRAPHS = "https://download.pytorch.org/tutorial/hymenoptera_data.zip"
CLASSES = ("ants", "bees")
IMAGENET = torch.tensor([310, 309])  # the same two among ImageNet's thousand


@dataclass(frozen=True)
class Photographs:
    inputs: dict[str, Tensor]  # one "n c h w" for each branch
    labels: Tensor

    def for_model(self, model: fk.FusedModel, rows: Tensor) -> dict[str, Tensor]:
        return {name: self.inputs[name][rows] for name in model.recipe.branches}


def find_photographs() -> Path:
    shared = SHARED / "images" / "hymenoptera"
    if shared.is_dir():
        return shared
    folder = Path("hymenoptera_data")
    if not folder.is_dir():
        archive, _ = urlretrieve(PHOTOGRAPHS)
        with zipfile.ZipFile(archive) as photographs:
            photographs.extractall()
    return folder


def find_branches() -> dict[str, fk.Branch]:
    """SqueezeNet stays frozen; MobileNetV2 thaws from its last stage, two at each epoch."""
    gentle = {
        "freeze": fk.Freeze.gradual(start=1, every=1, stages=2),
        "lr": fk.LR(0.05, layer_decay=0.9),
    }
    squeezenet = SHARED / "weights" / "squeezenet1_1-winml_fp16.safetensors"
    mobilenet = SHARED / "weights" / "mobilenetv2_100-tf1_quant_in1k.safetensors"
    return {
        "squeezenet": fk.Branch(
            "torchvision/squeezenet1_1",
            weights=squeezenet if squeezenet.exists() else "default",
            freeze=fk.Freeze.all(),
        ),
        "mobilenet": fk.Branch(
            "timm/mobilenetv2_100",
            weights=mobilenet,
            # These weights come from TensorFlow: it pads and normalises in a way of its own.
            options={"pad_type": "same"},
            preprocessing=fk.Preprocessing(mean=(128 / 255,) * 3, std=(128 / 255,) * 3, resize=256),
            **gentle,
        )
        if mobilenet.exists()
        else fk.Branch("timm/mobilenetv2_100.ra_in1k", **gentle),
    }


def read(folder: Path, model: fk.FusedModel) -> Photographs:
    """Decodes each photograph once and prepares it for each branch as its weights were trained."""
    transforms = {
        name: branch.preprocessing.transform() for name, branch in model.recipe.branches.items()
    }
    inputs: dict[str, list[Tensor]] = {name: [] for name in transforms}
    labels = []
    for label, title in enumerate(CLASSES):
        for path in sorted((folder / title).glob("*.jpg")):
            photograph = Image.open(path).convert("RGB")
            for name, transform in transforms.items():
                inputs[name].append(transform(photograph))
            labels.append(label)
    return Photographs({n: torch.stack(each) for n, each in inputs.items()}, torch.tensor(labels))


def train(model: fk.FusedModel, data: Photographs, epochs: int) -> None:
    batches = math.ceil(len(data.labels) / 16)
    optimizer = torch.optim.AdamW(model.param_groups(lr=2e-3, weight_decay=0.05))
    schedule = model.lr_scheduler(optimizer, "cosine", total_steps=epochs * batches)
    for epoch in range(epochs):
        model.train().set_epoch(epoch)
        for rows in torch.randperm(len(data.labels)).chunk(batches):
            loss = cross_entropy(model(data.for_model(model, rows)), data.labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


@torch.no_grad()
def predict(model: fk.FusedModel, data: Photographs) -> Tensor:
    model.eval()
    batches = torch.arange(len(data.labels)).split(32)
    return torch.cat([model(data.for_model(model, rows)).argmax(1) for rows in batches])


def average_stock_classifiers(branches: dict[str, fk.Branch], data: Photographs) -> None:
    """Averages both ImageNet classifiers as they are: there is nothing to train."""
    for name, branch in branches.items():
        show_stock(f"{name} alone", {name: branch}, data)
    show_stock("average of both", branches, data)


def show_stock(title: str, branches: dict[str, fk.Branch], data: Photographs) -> None:
    model = compose_stock(branches)
    right = predict(model, data) == IMAGENET[data.labels]
    ants, bees = (right[data.labels == label].float().mean().item() for label in range(2))
    print(f"  {title:<18} ants {ants:.3f}  bees {bees:.3f}")


def compose_stock(branches: dict[str, fk.Branch]) -> fk.FusedModel:
    kept = {name: replace(branch, classifier=True) for name, branch in branches.items()}
    return fk.compose(kept, fk.Head("mean_probabilities"), num_classes=1000)


def compare(
    branches: dict[str, fk.Branch], learn: Photographs, check: Photographs, epochs: int
) -> None:
    """Trains four models on the training photographs and shows how they do on the others."""
    squeezenet, mobilenet = branches["squeezenet"], branches["mobilenet"]
    lines = []
    for title, chosen, head in (
        ("squeezenet alone, frozen", {"squeezenet": squeezenet}, "concat"),
        ("mobilenet alone, thawed", {"mobilenet": mobilenet}, "concat"),
        ("average of both", branches, "mean_probabilities"),
        ("concatenation of both", branches, "concat"),
    ):
        torch.manual_seed(0)
        model = fk.compose(chosen, fk.Head(head), num_classes=len(CLASSES))
        start = time.perf_counter()
        train(model, learn, epochs)
        seconds = time.perf_counter() - start
        accuracy = (predict(model, check) == check.labels).float().mean().item()
        lines.append(Line(title, [accuracy], count_trainable(model), seconds))
        print(f"  {title}: {accuracy:.3f}", flush=True)
    Console().print(table(lines, title=f"accuracy on {len(check.labels)} photographs"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=4, help="0 trains nothing")
    epochs = parser.parse_args().epochs
    folder, branches = find_photographs(), find_branches()
    stock = compose_stock(branches)
    check = read(folder / "val", stock)
    print("ImageNet's own classifiers, nothing trained: top-1 of 1000 classes")
    average_stock_classifiers(branches, check)
    if epochs:
        learn = read(folder / "train", stock)
        print(f"\nAnts or bees, {epochs} epochs on {len(learn.labels)} photographs")
        compare(branches, learn, check, epochs)


if __name__ == "__main__":
    main()
