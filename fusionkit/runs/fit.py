"""``fit``: a job from its first step, or from where it stopped, to a saved model."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch

from fusionkit.assembly.compose import compose
from fusionkit.catalog import Catalog
from fusionkit.checkpoint.load import load
from fusionkit.checkpoint.model_card import ModelCard
from fusionkit.checkpoint.save import save
from fusionkit.errors import TrainingError
from fusionkit.model.fitting import fit_head
from fusionkit.model.fused import FusedModel
from fusionkit.runs.callbacks.average import AverageCallback
from fusionkit.runs.callbacks.best import KeepBest
from fusionkit.runs.callbacks.figures import Figures
from fusionkit.runs.callbacks.progress import Progress, format_row
from fusionkit.runs.loaders import RunLoaders, build_loaders
from fusionkit.runs.measure import Score, measure
from fusionkit.runs.module import FusionModule
from fusionkit.runs.presented import presented
from fusionkit.runs.run_folder import RunFolder
from fusionkit.runs.samples import JobSamples, complete_recipe, open_job_samples
from fusionkit.runs.settings import Job
from fusionkit.training.planning import plan

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Fitted", "fit"]


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a run came to.

    Attributes:
        model: the best one, in eval mode.
        score: of it on the samples held out.
        epoch: at which it was reached, counted from 0; -1 where only the head was fitted.
        epochs: how many were trained.
        seconds: of training and validation, without what an earlier process did.
        folder: of the run.
    """

    model: FusedModel
    score: Score
    epoch: int
    epochs: int
    seconds: float
    folder: Path
