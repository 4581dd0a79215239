"""A Trainer that is told to end, at any batch and in a validation."""

from __future__ import annotations

import os
import signal

import pytest
from test_checkpoint_io import BATCHES, EPOCHS, fit
from test_state_folder import same

from fusionkit.training import SaveOnSignal, read_state

pl = pytest.importorskip("lightning.pytorch", reason="Lightning is of the extra 'train'")


class Tell(pl.Callback):
    """Sends a signal at a batch, counted over the run, or in the validation of an epoch."""

    def __init__(self, batch: int = -1, validation: int = -1, number=signal.SIGTERM) -> None:
        self.batch, self.validation, self.number = batch, validation, number

    def on_train_batch_start(self, trainer, module, batch, index):
        if trainer.current_epoch * BATCHES + index == self.batch:
            os.kill(os.getpid(), self.number)

    def on_validation_batch_start(self, trainer, module, batch, index, loader=0):
        if trainer.current_epoch == self.validation and index == 0:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_f051_a_told_run_saves_ends_with_143_and_goes_on_to_the_same_bits(tmp_path, accumulate):
    whole, _ = fit(tmp_path / "whole", accumulate_grad_batches=accumulate)
    tellings = [Tell(batch=batch) for batch in range(BATCHES + 1)] + [Tell(validation=0)]
    for place, tell in enumerate(tellings):
        stopped = tmp_path / str(place) / "stopped.ckpt"
        with pytest.raises(SystemExit) as left:
            fit(
                tmp_path / f"{place}-first",
                callbacks=[SaveOnSignal(stopped), tell],
                accumulate_grad_batches=accumulate,
            )
        assert left.value.code == 143
        told = BATCHES - 1 if tell.batch < 0 else tell.batch  # a validation is the epoch's end
        assert read_state(stopped)["global_step"] == told // accumulate + 1
        module, _ = fit(tmp_path / f"{place}-then", stopped, accumulate_grad_batches=accumulate)
        assert module.seen == whole.seen[-len(module.seen) :]
        same(dict(whole.state_dict()), dict(module.state_dict()))
    assert EPOCHS > 1


def test_the_handlers_come_back_and_a_run_that_nobody_told_saves_nothing(tmp_path, hangups):
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    callback = SaveOnSignal(tmp_path / "stopped.ckpt")
    fit(tmp_path / "run", callbacks=[callback])
    with pytest.raises(SystemExit) as left:
        fit(tmp_path / "again", callbacks=[callback, Tell(batch=1, number=signal.SIGHUP)])
    assert left.value.code == 129
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before
