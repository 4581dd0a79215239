"""Finds the model that a command was given: a saved one, or the best of a run."""

from __future__ import annotations

from pathlib import Path

from fusionkit.catalog import Catalog
from fusionkit.checkpoint.load import load
from fusionkit.errors import CheckpointError
from fusionkit.model.fused import FusedModel
from fusionkit.runs.run_folder import RunFolder

__all__ = ["load_saved"]


def load_saved(folder: str | Path, catalog: Catalog | None = None) -> FusedModel:
    """Gives the model in a folder that ``fusionkit.save`` wrote, or the best one of a run.

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
        return load(run.best, catalog=catalog)
    return load(run.path, catalog=catalog)
