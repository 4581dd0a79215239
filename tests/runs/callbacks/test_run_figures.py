"""``metrics.csv`` has a line for each epoch, once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fusionkit.errors import DataError

pytest.importorskip("lightning", reason="needs pip install 'torch-fusionkit[train]'")


def run(figures, epochs, *, first=True):
    module = nn.Linear(2, 1)
    module.bias.requires_grad_(False)
    trainer = SimpleNamespace(
        current_epoch=epochs[0],
        is_global_zero=first,
        optimizers=[SimpleNamespace(param_groups=[{"lr": 0.5}, {"lr": 0.25}])],
    )
    figures.on_train_start(trainer, module)
    for epoch in epochs:
        trainer.current_epoch, trainer.global_step = epoch, 3 * epoch + 3
        trainer.callback_metrics = {"val_loss": torch.tensor(1.0 / (epoch + 1)), "other": 3}
        figures.on_train_epoch_start(trainer, module)
        figures.on_train_batch_start(trainer, module, None, 0)
        figures.on_train_epoch_end(trainer, module)


def test_a_run_that_goes_on_replaces_the_lines_that_it_repeats(tmp_path):
    from fusionkit.runs.callbacks.figures import Figures, read_figures

    path, told = tmp_path / "metrics.csv", []
    run(Figures(path, told.append), [0, 1, 2])
    run(Figures(path, told.append), [1, 2, 3])
    rows = read_figures(path)
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    assert [row["step"] for row in rows] == ["3", "6", "9", "12"]
    assert [float(row["val_loss"]) for row in rows] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4])
    assert {(row["lr"], row["trainable"], row["train_loss"]) for row in rows} == {("0.5", "2", "")}
    assert [row["epoch"] for row in told] == [0, 1, 2, 1, 2, 3]


def test_only_the_first_process_writes_and_speaks(tmp_path):
    from fusionkit.runs.callbacks.figures import Figures

    told = []
    run(Figures(tmp_path / "metrics.csv", told.append), [0], first=False)
    assert (list(tmp_path.iterdir()), told) == ([], [])


def test_where_it_cannot_be_written(tmp_path):
    from fusionkit.runs.callbacks.figures import Figures

    path = tmp_path / "no" / "metrics.csv"
    with pytest.raises(DataError, match=r"cannot write .*metrics\.csv"):
        run(Figures(path, print), [0])
