"""Trains two branches of which one learns at once and leaves the other behind, and mends that.

    python examples/balanced_training.py

There are two inputs. The loud one shows the class plainly, but in nine samples of ten only; the
quiet one shows it always, as the sign of a product, which takes longer to learn. Trained together,
the fused loss is small as soon as the loud branch is good, and the quiet one stays behind:
what it knows is lost to the fused answer. Takes some seconds on a CPU core.
"""

import argparse
from collections.abc import Iterator

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import fusionkit as fk
from fusionkit import balance

Data = tuple[dict[str, Tensor], Tensor]


class Perceptron(fk.Backbone):
    """Two layers on inputs "b c"."""

    takes_images = False

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.embed_dim = 16
        self.stages = (fk.Stage("first"), fk.Stage("second"))
        self.first = nn.Linear(in_channels, 16)
        self.second = nn.Linear(16, 16)

    def check_input(self, x: Tensor) -> None:
        if x.ndim != 2 or x.shape[1] != self.in_channels:
            raise fk.DataError(f"takes 'b {self.in_channels}', got {tuple(x.shape)}")

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        return fk.Features(vector=self.second(self.first(x).relu()).relu())

    def example(self, batch: int = 2) -> Tensor:
        return torch.linspace(-1, 1, batch * self.in_channels).view(batch, self.in_channels)


class Plugin:
    """Offers the perceptron as any plugin does."""

    @fk.hookimpl
    def fusionkit_backbones(self):
        return {"perceptron": make_perceptron}


def make_perceptron(*, in_channels: int, weights: str | None, num_classes: int | None):
    return Perceptron(in_channels)


def draw(count: int, seed: int) -> Data:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (count,), generator=generator)
    signs = 2.0 * labels - 1
    loud = torch.randn(count, 6, generator=generator)
    shown = torch.rand(count, generator=generator) < 0.9
    loud[:, 0] = 0.5 * loud[:, 0] + 3 * signs * shown
    quiet = torch.randn(count, 6, generator=generator)
    quiet[:, 0] *= torch.sign(quiet[:, 0] * quiet[:, 1]) * signs
    return {"loud": loud, "quiet": quiet}, labels


def batches(data: Data, size: int = 64) -> Iterator[Data]:
    inputs, labels = data
    for rows in torch.randperm(len(labels)).split(size):
        yield {name: x[rows] for name, x in inputs.items()}, labels[rows]


def compose(seed: int) -> fk.FusedModel:
    torch.manual_seed(seed)
    branches = {
        name: fk.Branch("mine/perceptron", weights=None, input=name, in_channels=6)
        for name in ("loud", "quiet")
    }
    catalog = fk.Catalog.installed().with_plugin("mine", Plugin())
    return fk.compose(branches, fk.Head("mean_logits"), num_classes=2, catalog=catalog)


def train_plainly(model: fk.FusedModel, learn: Data, held_out: Data, epochs: int) -> None:
    optimizer = torch.optim.SGD(model.param_groups(lr=0.1), momentum=0.9)
    for _ in range(epochs):
        for inputs, labels in batches(learn):
            optimizer.zero_grad()
            cross_entropy(model(inputs), labels).backward()
            optimizer.step()


def train_with_a_loss_each(model: fk.FusedModel, learn: Data, held_out: Data, epochs: int) -> None:
    optimizer = torch.optim.SGD(model.param_groups(lr=0.1), momentum=0.9)
    loss = balance.AuxiliaryLoss(0.5)
    for _ in range(epochs):
        for inputs, labels in batches(learn):
            optimizer.zero_grad()
            loss(balance.score(model, inputs), labels).backward()
            optimizer.step()


def train_modulated(model: fk.FusedModel, learn: Data, held_out: Data, epochs: int) -> None:
    optimizer = torch.optim.SGD(model.param_groups(lr=0.1), momentum=0.9)
    modulation = balance.OGMGE(model, alpha=1.5)
    for epoch in range(epochs):
        model.set_epoch(epoch)
        for inputs, labels in batches(learn):
            scores = balance.score(model, inputs)
            optimizer.zero_grad()
            cross_entropy(scores.fused, labels).backward()
            modulation.observe(scores.branches, labels)
            modulation.modulate()
            optimizer.step()


def train_blended(model: fk.FusedModel, learn: Data, held_out: Data, epochs: int) -> None:
    optimizer = torch.optim.SGD(model.param_groups(lr=0.1), momentum=0.9)
    blending = balance.GradientBlending(model)
    for epoch in range(epochs):
        if epoch % 5 == 0:  # a super-epoch
            blending.update(
                balance.average_losses(model, batches(learn)),
                balance.average_losses(model, batches(held_out)),
            )
        loss = balance.AuxiliaryLoss(blending.weights)
        for inputs, labels in batches(learn):
            optimizer.zero_grad()
            loss(balance.score(model, inputs), labels).backward()
            optimizer.step()


WAYS = {
    "the fused loss alone": train_plainly,
    "a loss for each branch": train_with_a_loss_each,
    "gradient modulation (OGM-GE)": train_modulated,
    "gradient blending": train_blended,
}


def measure(model: fk.FusedModel, data: Data) -> list[float]:
    """Gives the accuracy of the fused answer, and of each branch by itself."""
    inputs, labels = data
    with torch.no_grad():
        scores = balance.score(model.eval(), inputs)
    told = [scores.fused, *scores.branches.values()]
    return [(each.argmax(1) == labels).float().mean().item() for each in told]


def compare(epochs: int, seeds: int) -> dict[str, Tensor]:
    """Gives accuracies "seed 3" by way."""
    results = {}
    for title, train in WAYS.items():
        rows = []
        for seed in range(seeds):
            model = compose(seed)
            train(model, draw(512, 100 + seed), draw(512, 200 + seed), epochs)
            rows.append(measure(model, draw(4000, seed=7)))
        results[title] = torch.tensor(rows)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    table = Table("trained with", "fused", "loud alone", "quiet alone", title="accuracy")
    for title, accuracies in compare(arguments.epochs, arguments.seeds).items():
        table.add_row(title, *(f"{value:.3f}" for value in accuracies.mean(0).tolist()))
    Console().print(table)


if __name__ == "__main__":
    main()
