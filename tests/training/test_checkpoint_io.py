"""Lightning runs that go on from a folder without a pickle, at any step, to the same bits."""

from __future__ import annotations

import os
import warnings

import pytest
import torch
from loops import Noise, build, optimizers
from test_state_folder import same
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from fusionkit.errors import CheckpointError, ConfigError, ResumeError
from fusionkit.training import PolicyCallback, StateCheckpointIO, read_state, seed_step

pl = pytest.importorskip("lightning.pytorch", reason="Lightning is of the extra 'train'")

BATCHES = 4
EPOCHS = 3


class Batches:
    """Batches in an order of each epoch, and a state: how many were handed out.

    The epoch is asked of the trainer, when the first batch is: at the end of an epoch Lightning
    gives a loader no state back.
    """

    def __init__(self, module) -> None:
        self.module, self.batch = module, 0
        self.noise = Noise(BATCHES * 4)

    def __len__(self) -> int:
        return BATCHES

    def __iter__(self):
        if self.batch == BATCHES:  # Lightning, which knows the length, does not ask for the end
            self.batch = 0
        epoch = self.module.current_epoch
        order = torch.randperm(16, generator=torch.Generator().manual_seed(epoch))
        while self.batch < BATCHES:
            rows = order[4 * self.batch : 4 * self.batch + 4]
            self.batch += 1
            yield {"image": self.noise.x[rows], "labels": self.noise.y[rows]}

    def state_dict(self):
        return {"batch": self.batch}

    def load_state_dict(self, state):
        self.batch = state["batch"]


class Module(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.model = build()
        self.seen = []
        self.save_hyperparameters({"lr": 0.1})

    def training_step(self, batch, index):
        seed_step(0, self.current_epoch * BATCHES + index)
        loss = cross_entropy(self.model(batch["image"]), batch["labels"])
        self.seen.append((self.current_epoch, index, loss.item()))
        return loss

    def validation_step(self, batch, index):
        self.log("val_loss", cross_entropy(self.model(batch["image"]), batch["labels"]))

    def configure_optimizers(self):
        optimizer, schedule = optimizers(self.model)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


def fit(folder, path=None, **options):
    """Fits from a checkpoint, or from the start, keeping a checkpoint of each step."""
    checkpoints = pl.callbacks.ModelCheckpoint(
        folder, filename="{step}", every_n_train_steps=1, save_top_k=-1
    )
    module = Module()
    trainer = pl.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        callbacks=[PolicyCallback(), checkpoints, *options.pop("callbacks", ())],
        plugins=[StateCheckpointIO()],
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")
        warnings.filterwarnings("ignore", "The dirpath has changed from")
        warnings.filterwarnings("ignore", ".*LeafSpec.*", FutureWarning)
        trainer.fit(module, Batches(module), DataLoader(Noise(4), 2), ckpt_path=path)
    return module, trainer


@pytest.mark.parametrize("options", [{}, {"accumulate_grad_batches": 2}, {"val_check_interval": 2}])
def test_p7_a_run_of_lightning_goes_on_from_each_step_to_the_same_bits(tmp_path, options):
    whole, trainer = fit(tmp_path / "whole", **options)
    saved = sorted(path for path in (tmp_path / "whole").iterdir())
    accumulate = options.get("accumulate_grad_batches", 1)
    assert len(saved) == EPOCHS * BATCHES // accumulate == trainer.global_step
    for path in saved:
        assert {each.name for each in path.iterdir()} == {
            "manifest.json", "state.json", "tensors.safetensors",
        }  # fmt: skip
        step = read_state(path)["global_step"]
        again = tmp_path / "resumed" / path.name
        module, resumed = fit(again, path, **options)
        assert module.seen == whole.seen[step * accumulate :]
        same(dict(whole.state_dict()), dict(module.state_dict()))
        same(trainer.optimizers[0].state_dict(), resumed.optimizers[0].state_dict())
        assert resumed.global_step == trainer.global_step
        last = f"step={trainer.global_step}.ckpt"
        if step < trainer.global_step:  # what the uninterrupted run saved last, is saved again
            one, two = (read_state(each / last) for each in (path.parent, again))
            for key in ("state_dict", "optimizer_states", "lr_schedulers"):
                same(one[key], two[key])


def test_a_checkpoint_of_lightning_comes_back_with_what_callbacks_keep(tmp_path):
    early = pl.callbacks.EarlyStopping("val_loss", patience=5)
    fit(tmp_path / "one", callbacks=[early])
    path = tmp_path / "one" / f"step={EPOCHS * BATCHES}.ckpt"
    found = StateCheckpointIO().load_checkpoint(path, map_location="cpu", weights_only=True)
    assert found["hyper_parameters"] == {"lr": 0.1}
    names = " ".join(found["callbacks"])
    for callback in ("EarlyStopping", "ModelCheckpoint", "PolicyCallback"):
        assert callback in names
    assert found["loops"]["fit_loop"]["state_dict"]["combined_loader"] == [{"batch": 4}]


def test_best_last_and_top_k_are_as_ever(tmp_path):
    kept = pl.callbacks.ModelCheckpoint(
        tmp_path / "kept", monitor="val_loss", save_top_k=1, save_last="link"
    )
    fit(tmp_path / "all", callbacks=[kept])
    names = sorted(os.listdir(tmp_path / "kept"))
    assert len(names) == 2
    assert names[1] == "last.ckpt"
    assert read_state(tmp_path / "kept" / "last.ckpt")["epoch"] in range(EPOCHS)
    assert read_state(kept.best_model_path)["state_dict"]


def test_what_is_not_its_own_is_left_alone(tmp_path):
    io = StateCheckpointIO()
    pickle = tmp_path / "old.ckpt"
    pickle.write_bytes(b"\x80\x02cos\nsystem\n")
    with pytest.raises(ResumeError, match="is a file, as Lightning writes without StateCheckpoi"):
        io.load_checkpoint(pickle)
    with pytest.raises(ResumeError, match="is not removed: no StateCheckpointIO wrote it"):
        io.remove_checkpoint(tmp_path)
    assert pickle.exists()
    io.remove_checkpoint(tmp_path / "nothing")
    with pytest.raises(ConfigError, match=r"to local folders, not to s3://bucket/x"):
        io.save_checkpoint({}, "s3://bucket/x")
    with pytest.raises(ConfigError, match="leave storage_options out"):
        io.save_checkpoint({}, tmp_path / "x", storage_options={})
    with pytest.raises(CheckpointError, match=r"'hyper_parameters/net' is a .*\.Linear"):
        io.save_checkpoint({"hyper_parameters": {"net": torch.nn.Linear(1, 1)}}, tmp_path / "x")
    io.save_checkpoint({"a": [torch.ones(1)], "b": (1,)}, tmp_path / "y")
    assert io.load_checkpoint(tmp_path / "y", map_location="cpu")["a"][0].device.type == "cpu"
    with pytest.raises(ConfigError, match="map_location is a device here"):
        io.load_checkpoint(tmp_path / "y", map_location=lambda storage, place: storage)
    io.remove_checkpoint(tmp_path / "y")
    assert not (tmp_path / "y").exists()
