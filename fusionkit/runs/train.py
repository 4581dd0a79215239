"""Trains a model by gradient, through Lightning, and says which epoch was the best."""

from __future__ import annotations

import logging
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import TensorBoardLogger

from fusionkit.cache import FeatureCache
from fusionkit.errors import ConfigError
from fusionkit.model.fused import FusedModel
from fusionkit.processes import rank, tell_all, world
from fusionkit.runs.callbacks.average import AverageCallback
from fusionkit.runs.callbacks.best import KeepBest
from fusionkit.runs.callbacks.figures import Figures, read_figures
from fusionkit.runs.callbacks.patience import Patience
from fusionkit.runs.callbacks.progress import Progress, format_row
from fusionkit.runs.callbacks.save_states import SaveStates
from fusionkit.runs.loaders import EpochLoader, Passes, count_batches, train_loader, val_loader
from fusionkit.runs.module import FusionModule
from fusionkit.runs.processes import name_lost_processes
from fusionkit.runs.run_folder import RunFolder
from fusionkit.runs.samples import JobSamples
from fusionkit.runs.settings import Job, TrainingSettings
from fusionkit.runs.shard_strategy import ShardStrategy
from fusionkit.training.checkpoint_io import StateCheckpointIO
from fusionkit.training.distributed.gather import gather
from fusionkit.training.distributed.lightning_callback import DistributedPolicy
from fusionkit.training.lightning import PolicyCallback
from fusionkit.training.lightning_signals import SaveOnSignal
from fusionkit.training.resume.run_states import RunStates

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Trained", "train"]

HARMLESS = (
    ".*does not have many workers.*",
    ".*LeafSpec.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*The number of training batches .* is smaller than the logging interval.*",
    ".*training_step. returned .None.*",  # of a batch of which no sample can be read
)
"""What Lightning warns of and is as it should be here."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training came to.

    Attributes:
        epoch: of the best model, counted from 0; -1 where nothing was trained by gradient.
        seconds: of training and validation, in all processes that the run took.
        left_out: id and cause of samples to learn from that could not be read.
    """

    epoch: int = -1
    seconds: float = 0.0
    left_out: tuple[tuple[str, str], ...] = ()


def train(
    model: FusedModel,
    job: Job,
    samples: JobSamples,
    run: RunFolder,
    states: RunStates,
    *,
    cache: FeatureCache | None = None,
    resume: Path | None = None,
    told: Console | None = None,
) -> Trained:
    """Trains a model in place, and saves the best in the run's folder.

    Args:
        model: as ``compose`` gives it.
        job: what is asked for.
        samples: to learn from and to validate on.
        run: where the best model and what was measured go.
        states: where states go that the run can go on from.
        cache: where features of frozen branches are kept; ``None`` for nowhere.
        resume: the state to go on from.
        told: where progress is shown.
    """
    from fusionkit.runs.closing import save_best

    settings = job.training
    batches = count_batches(job, samples.train, settings.devices * settings.nodes)
    module = FusionModule(model, settings, batches)
    loaders = RunLoaders(job, model, samples, cache)

    def keep(found: dict[str, float]) -> None:
        whole = gather(model)  # in all processes, and there only in the first
        if whole is not None:
            save_best(whole, run, job, found)

    best = KeepBest(settings.monitor, keep)
    averages = [AverageCallback(model, settings.ema)] if settings.ema is not None else []
    patience = settings.patience
    saves = SaveStates(states, settings.save_every)
    callbacks: list[pl.Callback] = [
        PolicyCallback(model),
        DistributedPolicy(),
        best,
        *averages,
        Figures(run.figures, lambda row: _tell(told, row, settings.epochs)),
        *([Patience(settings.monitor, patience)] if patience else []),
        *([Progress(told)] if told is not None else []),
        saves,
        SaveOnSignal(saves.place),
    ]
    start = time.perf_counter()
    with _quiet(), _own_interrupts(), name_lost_processes():
        trainer = _build_trainer(
            max_epochs=settings.epochs,
            accelerator=settings.accelerator,
            devices=settings.devices,
            num_nodes=settings.nodes,
            strategy=_strategy(settings),
            precision=settings.precision,
            gradient_clip_val=settings.clip,
            accumulate_grad_batches=settings.accumulate,
            callbacks=callbacks,
            logger=TensorBoardLogger(run.path, name=run.events.name, version=""),
            plugins=[StateCheckpointIO()],
            deterministic="warn" if torch.cuda.is_available() else None,
            default_root_dir=run.path,
            use_distributed_sampler=False,  # the sampler is divided already
            num_sanity_val_steps=0,
            enable_checkpointing=True,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=1,
        )
        trainer.fit(module, datamodule=loaders, ckpt_path=None if resume is None else str(resume))
    before = [float(row["seconds"]) for row in read_figures(run.figures)] if resume else []
    left_out = {key: cause for each in tell_all(module.left_out) for key, cause in each.items()}
    seconds = max(sum(before), time.perf_counter() - start)
    return Trained(best.epoch, seconds, tuple(sorted(left_out.items())))


class RunLoaders(pl.LightningDataModule):
    """Makes the loaders in each process, once it knows which one it is."""

    def __init__(
        self, job: Job, model: FusedModel, samples: JobSamples, cache: FeatureCache | None
    ) -> None:
        super().__init__()
        self._given, self._samples, self._cache = (job, model), samples, cache

    def train_dataloader(self) -> EpochLoader:
        """Gives this process's share of the samples to learn from."""
        place = (rank(), world())
        return EpochLoader(
            train_loader(*self._given, self._samples.train, cache=self._cache, place=place)
        )

    def val_dataloader(self) -> Passes:
        """Gives this process's share of the samples held out."""
        place = (rank(), world())
        return Passes(val_loader(*self._given, self._samples.val, cache=self._cache, place=place))


def _strategy(settings: TrainingSettings) -> str | ShardStrategy:
    if settings.strategy == "fsdp":
        return ShardStrategy(settings.devices * settings.nodes)
    return settings.strategy


def _build_trainer(**settings: Any) -> pl.Trainer:
    try:
        return pl.Trainer(**settings)
    except (MisconfigurationException, ValueError) as error:
        raise ConfigError(f"section training: Lightning says: {error}") from error


def _tell(console: Console | None, row: dict[str, Any], epochs: int) -> None:
    if console is not None:
        console.print(format_row(row, epochs))


@contextmanager
def _own_interrupts() -> Iterator[None]:
    """Lets Ctrl-C end a run as it ends any program.

    Lightning makes exit code 1 of it, and has the process heed no other afterwards.

    Raises:
        KeyboardInterrupt: in place of Lightning's ``SystemExit``.
    """
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as ended:
        if isinstance(ended.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from ended
        raise
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Lightning from telling what a run tells itself."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for message in HARMLESS:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
