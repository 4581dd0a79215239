"""A plain loop, Lightning and the Hugging Face Trainer end with the same weights, to the bit."""

from __future__ import annotations

import warnings

import pytest
import torch
from loops import BATCH, EPOCHS, LOSSES, Noise, build, optimizers
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

import fusionkit as fk
from fusionkit.training import Unfreezing

pl = pytest.importorskip("lightning.pytorch", reason="Lightning is of the extra 'train'")
transformers = pytest.importorskip("transformers", reason="transformers is of the extra 'dev'")


def bits(model: fk.FusedModel) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def loader() -> DataLoader:
    return DataLoader(Noise(), batch_size=BATCH, shuffle=False)


def plain(epochs: int = EPOCHS) -> fk.FusedModel:
    model = build().train()
    unfreezing = Unfreezing(model)
    optimizer, schedule = optimizers(model)
    for epoch in range(epochs):
        unfreezing.begin_epoch(epoch)
        for step, batch in enumerate(loader()):
            torch.manual_seed(1000 * epoch + step)
            cross_entropy(model(batch["image"]), batch["labels"]).backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        unfreezing.end_epoch(epoch, {"val_loss": LOSSES[epoch]})
    return model


class Module(pl.LightningModule):
    def __init__(self, model: fk.FusedModel) -> None:
        super().__init__()
        self.model = model

    def training_step(self, batch, index):
        torch.manual_seed(1000 * self.current_epoch + index)
        return cross_entropy(self.model(batch["image"]), batch["labels"])

    def validation_step(self, batch, index):
        self.log("val_loss", LOSSES[self.current_epoch])

    def configure_optimizers(self):
        optimizer, schedule = optimizers(self.model)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


def lightning(folder, model=None, **options) -> fk.FusedModel:
    from fusionkit.training import PolicyCallback

    model = model or build().train()
    trainer = pl.Trainer(
        max_epochs=options.pop("epochs", EPOCHS),
        accelerator="cpu",
        callbacks=[PolicyCallback(), *options.pop("callbacks", [])],
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=options.pop("enable_checkpointing", False),
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty.*")
        warnings.filterwarnings("ignore", ".*LeafSpec.*", FutureWarning)
        trainer.fit(Module(model), loader(), DataLoader(Noise(2)), **options)
    return model


def hugging_face(folder, model=None, epochs=EPOCHS, resume=None, **changes) -> fk.FusedModel:
    from fusionkit.training import PolicyTrainerCallback, TrainerModel

    model = model or build().train()

    class Trainer(transformers.Trainer):
        def training_step(self, wrapped, inputs, *rest):
            torch.manual_seed(1000 * model.epoch + self.state.global_step % 3)
            return super().training_step(wrapped, inputs, *rest)

        def evaluate(self, *arguments, **named):
            metrics = {"eval_loss": LOSSES[max(0, round(self.state.epoch) - 1)]}
            self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
            return metrics

        def _get_train_sampler(self, dataset=None):
            return torch.utils.data.SequentialSampler(self.train_dataset)

    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=epochs,
        per_device_train_batch_size=BATCH,
        report_to=[],
        use_cpu=True,
        max_grad_norm=0.0,
        disable_tqdm=True,
        **{
            "save_strategy": "no",
            "eval_strategy": "epoch",
            "remove_unused_columns": False,
            **changes,
        },
    )
    trainer = Trainer(
        TrainerModel(model),
        arguments,
        train_dataset=Noise(),
        eval_dataset=Noise(2),
        callbacks=[PolicyTrainerCallback(model)],
        optimizers=optimizers(model),
    )
    trainer.train(resume_from_checkpoint=resume)
    return model


def assert_same(one: fk.FusedModel, other: fk.FusedModel) -> None:
    assert one.thaws == other.thaws == {"b": (4,)}
    theirs = bits(other)
    for name, value in bits(one).items():
        assert torch.equal(value, theirs[name]), name


@pytest.fixture(scope="module")
def by_hand() -> fk.FusedModel:
    return plain()


def test_the_plain_loop_thaws_both_branches(by_hand) -> None:
    start = bits(build())
    end = bits(by_hand)
    moved = {name for name in start if not torch.equal(start[name], end[name])}
    assert {"branches.a.top.weight", "branches.a.body.0.weight", "branches.b.top.weight"} <= moved
    assert not any(".stem." in name for name in moved)  # P1: frozen to the end


def test_lightning_is_the_plain_loop(by_hand, tmp_path) -> None:
    assert_same(lightning(tmp_path), by_hand)


def test_the_trainer_is_the_plain_loop(by_hand, tmp_path) -> None:
    assert_same(hugging_face(tmp_path), by_hand)


def test_lightning_resumes_between_epochs(by_hand, tmp_path) -> None:
    def keep(folder):
        name = pl.callbacks.ModelCheckpoint(folder, filename="at", save_on_train_epoch_end=True)
        return {"callbacks": [name], "enable_checkpointing": True}

    lightning(tmp_path, epochs=3, **keep(tmp_path / "one"))
    at = tmp_path / "one" / "at.ckpt"
    assert_same(lightning(tmp_path, ckpt_path=at, **keep(tmp_path / "one")), by_hand)


@pytest.mark.parametrize("restored_by_the_trainer", [False, True])
def test_the_trainer_resumes_between_epochs(
    by_hand, tmp_path, restored_by_the_trainer: bool
) -> None:
    kept = {"save_strategy": "epoch"}
    hugging_face(tmp_path, epochs=3, **kept)
    resumed = hugging_face(
        tmp_path,
        resume=str(tmp_path / "checkpoint-9"),
        restore_callback_states_from_checkpoint=restored_by_the_trainer,
        **kept,
    )
    assert_same(resumed, by_hand)


def test_who_cannot_find_the_model_says_so() -> None:
    from fusionkit.training.find_model import find_model

    with pytest.raises(fk.ConfigError, match=r"Linear holds none\. Say which: Callback\(model\)"):
        find_model(torch.nn.Linear(1, 1), "Callback")
    two = torch.nn.ModuleList([build(), build()])
    with pytest.raises(fk.ConfigError, match="ModuleList holds 2"):
        find_model(two, "Callback")


def test_lightning_that_validates_every_second_epoch_watches_these(tmp_path) -> None:
    from fusionkit.training import PolicyCallback

    policy = PolicyCallback()
    trainer = pl.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        callbacks=[policy],
        check_val_every_n_epoch=2,
        default_root_dir=tmp_path,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        warnings.filterwarnings("ignore", ".*LeafSpec.*", FutureWarning)
        trainer.fit(Module(build().train()), loader(), DataLoader(Noise(2)))
    assert policy.unfreezing.plateaus["b"].best == min(LOSSES[1::2])


@pytest.mark.parametrize(("strategy", "steps"), [("steps", 3), ("steps", 1)])
def test_the_trainer_counts_the_last_evaluation_of_an_epoch(by_hand, tmp_path, strategy, steps):
    assert_same(hugging_face(tmp_path, eval_strategy=strategy, eval_steps=steps), by_hand)


def test_the_trainer_that_never_evaluates_is_told(tmp_path) -> None:
    with pytest.raises(fk.PolicyError, match="'val_loss' stalls, which was not told"):
        hugging_face(tmp_path, eval_strategy="no")


def test_the_trainer_that_would_drop_all_inputs_is_told(tmp_path) -> None:
    with pytest.raises(fk.ConfigError, match=r"write TrainingArguments\(remove_unused_columns=F"):
        hugging_face(tmp_path, remove_unused_columns=True)
