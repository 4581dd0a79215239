"""A plain loop with all that makes resuming hard, on a model of two small convnets.

One branch thaws by epoch, one on a plateau of a loss that is really measured; gradients are
accumulated over two batches; BatchNorm, dropout, a moving average of the parameters, a schedule
with warm-up after thaws, and batches in an order of their own each epoch.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import fusionkit as fk
from fusionkit.training import (
    EMA,
    Position,
    RunStates,
    Unfreezing,
    resume_run,
    save_run,
    seed_step,
    write_state,
)

__all__ = ["EPOCHS", "STEPS", "train"]

EPOCHS, BATCHES, ACCUMULATE, SEED = 5, 8, 2, 11
STEPS = EPOCHS * BATCHES // ACCUMULATE


class NormNet(fk.Backbone):
    """Convolutions with BatchNorm and dropout, in three stages."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.in_channels, self.embed_dim = in_channels, 8
        self.levels = (fk.Level(8, 4),)
        self.stages = (fk.Stage("stem"), fk.Stage("body"), fk.Stage("top"))
        self.first_layers = ("stem.0.weight",)
        self.stem = nn.Sequential(nn.Conv2d(in_channels, 8, 3, 2, 1), nn.BatchNorm2d(8))
        self.body = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.Dropout(0.2))
        self.top = nn.Linear(8, 8)

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        grid = self.body(self.stem(x).relu())
        maps = tuple(grid for _ in reads.levels)
        return fk.Features(vector=self.top(grid.mean((2, 3))), maps=maps)


class Plugin:
    """Offers the trunk as any plugin does."""

    @fk.hookimpl
    def fusionkit_backbones(self) -> dict[str, object]:
        return {
            "net": lambda *, in_channels=3, weights=None, num_classes=None: NormNet(in_channels)
        }


def compose() -> fk.FusedModel:
    """Gives the model as a new run has it."""
    torch.manual_seed(SEED)
    branches = {
        "by_epoch": fk.Branch(
            "norm/net", weights=None, freeze=fk.Freeze.gradual(every=1), lr=fk.LR(0.5, warmup=2)
        ),
        "by_plateau": fk.Branch(
            "norm/net", weights=None, freeze=fk.Freeze.on_plateau(patience=1, min_delta=9.0)
        ),
    }
    return fk.compose(branches, fk.Head("concat", dropout=0.1), num_classes=3, catalog=CATALOG)


def batches(epoch: int) -> list[tuple[Tensor, Tensor]]:
    """Gives the batches of an epoch, in its order."""
    generator = torch.Generator().manual_seed(SEED)
    images = torch.randn(BATCHES * 4, 3, 8, 8, generator=generator)
    labels = torch.randint(3, (BATCHES * 4,), generator=generator)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(epoch))
    return [(images[part], labels[part]) for part in order.split(4)]


def train(folder: Path, end: Path, *, seeds: bool = True) -> None:
    """Trains to the end, and writes there what the run is then.

    Args:
        folder: of the run; what is there is gone on from.
        end: where to.
        seeds: whether each step is seeded; the states of the generators suffice without.
    """
    model = compose()
    optimizer = torch.optim.AdamW(model.param_groups(lr=0.01, weight_decay=0.1))
    scheduler = model.lr_scheduler(
        optimizer, "one_cycle", max_lr=1.0, total_steps=STEPS, steps_per_epoch=STEPS // EPOCHS
    )
    unfreezing, ema, log = Unfreezing(model), EMA(model), []
    parts = {"scheduler": scheduler, "unfreezing": unfreezing, "ema": ema}
    settings = {"seed": SEED, "batch_size": 4, "accumulate": ACCUMULATE, "epochs": EPOCHS}
    with RunStates(folder) as states:
        resumed = resume_run(states, model, optimizer, settings=settings, **parts)
        log, at = resumed.extra or [], resumed.position
        step = at.step

        def save(epoch: int, batch: int) -> None:
            save_run(
                states, model, optimizer, position=Position(epoch, batch, step), extra=log,
                settings=settings, finished=epoch == EPOCHS, **parts,
            )  # fmt: skip

        for epoch in range(at.epoch, EPOCHS):
            unfreezing.begin_epoch(epoch)
            model.train()
            for batch in range(at.first_batch(epoch), BATCHES):
                if seeds:
                    seed_step(SEED, epoch * BATCHES + batch)
                images, labels = batches(epoch)[batch]
                loss = cross_entropy(model(images), labels)
                (loss / ACCUMULATE).backward()
                log.append(loss.item())
                if (batch + 1) % ACCUMULATE == 0:
                    optimizer.step()
                    scheduler.step()
                    optimizer.zero_grad()
                    ema.update()
                    step += 1
                    save(epoch, batch + 1)
            with torch.no_grad():
                loss = sum(cross_entropy(model.eval()(x), y) for x, y in batches(0))
            unfreezing.end_epoch(epoch, {"val_loss": loss})
            save(epoch + 1, 0)
    _write_end(end, model, optimizer, parts, log)


def _write_end(
    end: Path, model: nn.Module, optimizer: torch.optim.Optimizer, parts: dict, log: list[float]
) -> None:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    write_state(
        end,
        {
            "model": model.state_dict(),
            "optimizer": {names[id(each)]: state for each, state in optimizer.state.items()},
            "groups": [
                {key: value for key, value in group.items() if key != "params"}
                for group in optimizer.param_groups
            ],
            "parts": {name: part.state_dict() for name, part in parts.items()},
            "random": torch.get_rng_state(),
            "log": log,
        },
    )


CATALOG = fk.Catalog.installed().with_plugin("norm", Plugin())
