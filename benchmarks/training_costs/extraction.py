"""An epoch in which only the head learns, against the tutorial's loop and the common mistake."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from torchvision import transforms

import fusionkit as fk
from fusionkit.cache import FeatureLoader
from fusionkit.data import EpochSampler, PreparedDataset, open_samples
from training_costs.clock import alternate, middle, run_epoch
from training_costs.memory import MIB, peak_bytes, saved_bytes
from training_costs.photographs import CLASSES, gather
from training_costs.report import Line
from training_costs.setting import Setting

__all__ = ["build_ours", "build_theirs", "compare", "loss_of", "make_step"]

Epoch = Callable[[], Mapping[str, float]]


def compare(setting: Setting) -> tuple[str, list[Line]]:
    """Gives what the three cost, all of an epoch and its parts, and their activations."""
    folder = setting.folder / "extraction"
    said = gather(folder, setting.steps * setting.batch)
    ours, tutorial = build_ours(setting, fk.Freeze.all()), build_theirs(setting, frozen=True)
    mistake = build_theirs(setting, frozen=False)
    ways: dict[str, Epoch] = {
        "ours": our_epoch(ours, folder, setting),
        "tutorial": their_epoch(tutorial, folder, setting),
        "mistake": their_epoch(mistake, folder, setting),
    }
    for epoch in ways.values():
        epoch()  # what is done once is done
    found = alternate(ways, setting.rounds)
    time = {way: middle(costs) for way, costs in found.items()}
    lines = [
        Line("an epoch, of the tutorial's loop", time["ours"], time["tutorial"], bound=0.87),
        Line("an epoch, of the common mistake's", time["ours"], time["mistake"], bound=0.30),
    ]
    for part, what in (("data", "from JPEG to batch"), ("model", "forward, backward, update")):
        of = {way: middle(costs, part) for way, costs in found.items()}
        lines.append(Line(f"its {what}, of the tutorial's", of["ours"], of["tutorial"]))
    lines += _activations(setting, ours, mistake)
    heading = (
        f"Feature extraction: {setting.large}, only the head learns; an epoch from JPEG files to "
        f"the last update, {said}, batches of {setting.batch}"
    )
    return heading, lines


def build_ours(setting: Setting, freeze: fk.Freeze, channels_last: bool = True) -> fk.FusedModel:
    """Composes the backbone and a head as ``fusionkit fit`` does."""
    torch.manual_seed(0)
    branch = fk.Branch(
        f"timm/{setting.large}", weights=None, freeze=freeze, preprocessing=setting.prepared
    )
    model = fk.compose({"trunk": branch}, fk.Head("concat"), num_classes=len(CLASSES))
    if channels_last:
        # torch's stubs know `to` of modules without a memory format
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def build_theirs(setting: Setting, frozen: bool) -> nn.Module:
    """Builds the backbone with a new classifier as the tutorial does."""
    torch.manual_seed(0)
    model: nn.Module = timm.create_model(setting.large, num_classes=len(CLASSES))
    if frozen:
        model.requires_grad_(False)
        _classifier(model).requires_grad_(True)
    return model


def our_epoch(model: fk.FusedModel, folder: Path, setting: Setting) -> Epoch:
    """Gives a plain loop over fusionkit's loader, without a cache."""
    samples = open_samples(folder, "train")
    sampler = EpochSampler(len(samples), setting.batch, seed=0)
    loader = FeatureLoader(
        model, PreparedDataset(samples, model), sampler, cache=None, channels_last=True
    )
    optimizer = torch.optim.SGD(model.param_groups(lr=1e-3), momentum=0.9)
    step = make_step(lambda batch: model(batch.inputs, batch.features), optimizer)

    def epoch() -> dict[str, float]:
        model.train().set_epoch(0)
        loader.set_epoch(0)
        return run_epoch(loader, lambda batch: step(batch, batch.labels))

    return epoch


def their_epoch(model: nn.Module, folder: Path, setting: Setting) -> Epoch:
    """Gives the tutorial's loop: SGD is given the head's parameters alone."""
    mean, std = setting.prepared.mean, setting.prepared.std
    prepare = transforms.Compose(
        [
            transforms.Resize(setting.prepared.resize),
            transforms.CenterCrop(setting.prepared.size),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )
    dataset = torchvision.datasets.ImageFolder(folder / "train", prepare)
    loader = DataLoader(dataset, setting.batch, shuffle=True)
    learns = _classifier(model).parameters()
    step = make_step(model, torch.optim.SGD(learns, lr=1e-3, momentum=0.9))

    def epoch() -> dict[str, float]:
        model.train()
        return run_epoch(loader, lambda batch: step(*batch))

    return epoch


def make_step(
    forward: Callable[..., Tensor], optimizer: torch.optim.Optimizer
) -> Callable[..., tuple[float, int]]:
    """Gives the tutorial's step, with the figures that it keeps."""

    def step(batch: object, labels: Tensor) -> tuple[float, int]:
        optimizer.zero_grad()
        logits = forward(batch)
        loss = cross_entropy(logits, labels)
        loss.backward()
        optimizer.step()
        return loss.item() * len(labels), int((logits.argmax(1) == labels).sum())

    return step


def loss_of(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """Gives the loss of one forward pass."""
    return cross_entropy(model(inputs), labels)


def _step(answer: Callable[[], Tensor]) -> None:
    answer().backward()


def _classifier(model: nn.Module) -> nn.Module:
    """Gives the classifier that every model of timm has."""
    # torch's stubs say of a module's attributes that they are tensors or modules, not methods
    found: nn.Module = model.get_classifier()  # type: ignore[operator]
    return found


def _activations(setting: Setting, ours: fk.FusedModel, mistake: nn.Module) -> list[Line]:
    """Compares one forward pass, and one step with the gradients there already."""
    images = torch.randn(setting.batch, 3, *setting.prepared.size)
    labels = torch.zeros(setting.batch, dtype=torch.long)
    laid_out = images.contiguous(memory_format=torch.channels_last)
    ours.train().set_epoch(0)
    mistake.train()
    of: dict[str, tuple[float, float]] = {}
    for way, model, inputs in (("ours", ours, laid_out), ("theirs", mistake, images)):
        answer = partial(loss_of, model, inputs, labels)
        answer().backward()
        peak = peak_bytes(partial(_step, answer))
        of[way] = (saved_bytes(answer, [model]) / MIB, peak / MIB)
    titles = ("activations kept for the backward pass", "new tensors alive at once in a step")
    return [
        Line(f"{title}, of the mistake's", mine, their, "MiB", bound=0.20)
        for title, mine, their in zip(titles, of["ours"], of["theirs"], strict=True)
    ]
