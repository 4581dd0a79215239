"""Under Lightning's strategies a thaw is synchronised as well, in two real processes."""

from __future__ import annotations

import os
import socket
import warnings
from types import SimpleNamespace

import pytest
import torch
from rank_runs import adamw, apart, batch, build, needs_fork, run_ranks, weights_of
from torch import distributed, nn

from fusionkit.errors import DistributedError
from fusionkit.training.distributed import gather_weights, shard

pytest.importorskip("lightning", reason="needs pip install 'torch-fusionkit[train]'")

EPOCHS = 4
STEPS = 2


class Rows(torch.utils.data.Dataset):
    """All rows of all batches: step after step, first this rank's and then the other's."""

    def __len__(self):
        return STEPS * 8

    def __getitem__(self, row):
        x, labels = batch(row // 8)
        return x[row % 8], labels[row % 8]


def fit(
    folder, callbacks, model, *, strategy, epochs=EPOCHS, ckpt_path=None, sharded=False, **options
):
    import lightning.pytorch as pl

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = model

        def on_train_epoch_start(self):
            self.model.train().set_epoch(self.current_epoch)

        def training_step(self, rows, index):
            x, labels = rows
            return nn.functional.cross_entropy(self.model(x), labels)

        def configure_optimizers(self):
            return adamw(self.model)

        def train_dataloader(self):
            ranks = self.trainer.world_size
            order = [
                step * 8 + self.global_rank * 8 // ranks + row
                for step in range(STEPS)
                for row in range(8 // ranks)
            ]
            return torch.utils.data.DataLoader(Rows(), 8 // ranks, sampler=order)

        def on_train_end(self):
            torch.save(
                gather_weights(self.model) if sharded else weights_of(self.model),
                folder / f"rank{self.global_rank}",
            )

    class Sharded(Module):
        def configure_model(self):
            shard(self.model, self.device_mesh["data_parallel"])

    trainer = pl.Trainer(
        accelerator="cpu",
        devices=options.pop("devices", 2),
        strategy=strategy,
        max_epochs=epochs,
        callbacks=callbacks,
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **options,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's own: of workers, of forks beside threads
        trainer.fit((Sharded if sharded else Module)(), ckpt_path=ckpt_path)
    return trainer


def alone():
    """Trains on the same batches in one process, in a plain loop."""
    model = build()
    optimizer = adamw(model)
    for epoch in range(EPOCHS):
        model.train().set_epoch(epoch)
        for step in range(STEPS):
            x, labels = batch(step)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), labels).backward()
            optimizer.step()
    return weights_of(model)


@needs_fork
def test_gradual_unfreezing_equals_one_process_with_twice_the_batch(tmp_path):
    from fusionkit.training.distributed.lightning_callback import DistributedPolicy

    fit(tmp_path, [DistributedPolicy()], build(), strategy="ddp_fork", enable_checkpointing=False)
    one, other = (torch.load(tmp_path / f"rank{rank}") for rank in range(2))
    assert apart(one, other)[0] == 0
    assert apart(one, alone())[0] < 1e-9


@needs_fork
def test_without_the_callback_what_thaws_drifts_apart(tmp_path):
    strategy = "ddp_fork_find_unused_parameters_true"
    fit(tmp_path, [], build(), strategy=strategy, enable_checkpointing=False)
    one, other = (torch.load(tmp_path / f"rank{rank}") for rank in range(2))
    difference, name = apart(one, other)
    assert difference > 1e-4
    assert name.startswith("branches.slow")


@needs_fork
def test_a_run_that_goes_on_from_a_checkpoint_is_synchronised_as_well(tmp_path):
    import lightning.pytorch as pl

    from fusionkit.training.distributed.lightning_callback import DistributedPolicy

    class Refreezing(pl.Callback):  # its state comes back before the strategy wraps the model
        def state_dict(self):
            return {"epoch": 0}

        def load_state_dict(self, state):
            self.model.set_epoch(state["epoch"])

    def callbacks(model):
        refreezing = Refreezing()
        refreezing.model = model
        saves = pl.callbacks.ModelCheckpoint(tmp_path, filename="last", every_n_epochs=1)
        return [refreezing, DistributedPolicy(), saves]

    model = build()
    fit(tmp_path, callbacks(model), model, strategy="ddp_fork", epochs=2)
    model = build(seed=3)
    fit(
        tmp_path,
        callbacks(model),
        model,
        strategy="ddp_fork",
        ckpt_path=tmp_path / "last.ckpt",
    )
    one, other = (torch.load(tmp_path / f"rank{rank}") for rank in range(2))
    assert apart(one, other)[0] == 0
    assert apart(one, alone())[0] < 1e-9


def fit_sharded(rank, folder, port):
    from lightning.pytorch.strategies import ModelParallelStrategy

    from fusionkit.training.distributed.lightning_callback import DistributedPolicy

    distributed.destroy_process_group()  # Lightning makes its own
    where = {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1"}
    os.environ.update(where, MASTER_PORT=str(port))
    strategy = ModelParallelStrategy(data_parallel_size=2, tensor_parallel_size=1)
    options = {"sharded": True, "enable_checkpointing": False}
    fit(folder, [DistributedPolicy()], build(seed=rank), strategy=strategy, **options)


@needs_fork
def test_a_model_that_is_sharded_in_configure_model_equals_one_process(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run_ranks(fit_sharded, tmp_path, tmp_path, port)
    assert apart(torch.load(tmp_path / "rank0"), alone())[0] < 1e-9


def test_one_process_is_left_as_it_is(tmp_path):
    from fusionkit.training.distributed.lightning_callback import DistributedPolicy

    model = build()
    trainer = fit(
        tmp_path,
        [DistributedPolicy()],
        model,
        strategy="auto",
        devices=1,
        enable_checkpointing=False,
    )
    assert apart(weights_of(model), alone())[0] == 0
    assert "configure_ddp" not in vars(trainer.strategy)


def test_processes_that_would_all_see_the_same_samples_are_refused(monkeypatch):
    from fusionkit.training.distributed import lightning_callback as told

    monkeypatch.setattr(told, "is_model_sharded", lambda model: True)
    strategy = SimpleNamespace(distributed_sampler_kwargs={"num_replicas": 1})
    trainer = SimpleNamespace(world_size=2, strategy=strategy)
    with pytest.raises(DistributedError, match=r"among 1 .* over 2; .*data_parallel_size=2"):
        told.DistributedPolicy().on_fit_start(trainer, build())


def test_a_strategy_that_flattens_parameters_is_refused():
    from lightning.pytorch.strategies import FSDPStrategy

    from fusionkit.training.distributed.lightning_callback import DistributedPolicy

    trainer = SimpleNamespace(strategy=FSDPStrategy())
    with pytest.raises(DistributedError, match=r"'fsdp' flattens parameters.*ModelParallel"):
        DistributedPolicy().setup(trainer, None, "fit")
