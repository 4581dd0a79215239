"""A bar on a terminal, nothing in a pipe, and a line for each epoch."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

pytest.importorskip("lightning", reason="needs pip install 'torch-fusionkit[train]'")


def show(console):
    from fusionkit.runs.callbacks.progress import Progress

    trainer = SimpleNamespace(
        is_global_zero=True, current_epoch=0, max_epochs=3, num_training_batches=2
    )
    bar = Progress(console)
    bar.on_train_start(trainer, None)
    bar.on_train_epoch_start(trainer, None)
    for index in range(2):
        bar.on_train_batch_end(trainer, None, None, None, index)
    bar._bars.refresh()
    bar.on_validation_start(trainer, None)
    bar._bars.refresh()
    bar.on_train_end(trainer, None)


def test_a_terminal_sees_a_bar():
    file = io.StringIO()
    show(Console(file=file, force_terminal=True, width=80, color_system=None))
    assert "epoch 1/3" in file.getvalue()
    assert "2/2" in file.getvalue()
    assert "validation" in file.getvalue()


def test_a_pipe_sees_nothing():
    file = io.StringIO()
    show(Console(file=file, width=80))
    assert file.getvalue().strip() == ""


def test_a_line_tells_an_epoch():
    from fusionkit.runs.callbacks.progress import format_row

    row = {"epoch": 4, "train_loss": 0.5, "val_accuracy": 0.25, "lr": 1e-3}
    said = format_row({**row, "trainable": 12345, "seconds": 1.25}, 10)
    assert said == ("epoch  5/10  loss 0.5000  accuracy 0.2500  lr 1.0e-03  12k learn  1.2 s")


def test_a_line_fits_into_a_terminal():
    from fusionkit.runs.callbacks.progress import format_row

    row = {"epoch": 99, "train_loss": 12.5, "val_loss": 11.25, "val_accuracy": 0.25, "lr": 1e-3}
    for trainable, said in ((999, "999"), (8_400, "8.4k"), (1_684_930, "1.7M"), (10**9, "1.0G")):
        line = format_row({**row, "trainable": trainable, "seconds": 176.2}, 100)
        assert f"{said} learn" in line
        assert len(line) <= 95
