"""Finds the model that a command was given: a saved one, or the best of a run."""

from __future__ import annotations

from pathlib import Path

import torch

from fusionkit.catalog import Catalog
from fusionkit.checkpoint.load import load
from fusionkit.errors import CheckpointError
from fusionkit.model.fused import FusedModel
from fusionkit.runs.run_folder import RunFolder

__all__ = ["load_saved", "working_device"]


def working_device(accelerator: str = "auto") -> torch.device:
    """Gives where a model is run outside of a ``Trainer``: on a CUDA device, if there is one."""
    on_gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return torch.device("cuda" if on_gpu else "cpu")


def load_saved(folder: str | Path, catalog: Catalog | None = None) -> FusedModel:
    """Gives the model in a folder that ``fusionkit.save`` wrote, or the best one of a run.

    It lies on a CUDA device, if there is one.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    run = RunFolder(Path(folder))
    if run.recipe.exists() and run.read_identity() is not None:
        if not run.best.exists():
            raise CheckpointError(
                f"the run in {run.path} has saved no model yet; let it go on with "
                "`fusionkit fit --resume`"
            )
        return load(run.best, catalog=catalog).to(working_device())
    return load(run.path, catalog=catalog).to(working_device())
