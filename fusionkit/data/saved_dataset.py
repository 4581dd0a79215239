"""Datasets of Hugging Face that ``save_to_disk`` wrote into a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fusionkit.errors import ConfigError, DataError

__all__ = ["is_saved_dataset", "load_saved_dataset", "saved_splits"]

DICT = "dataset_dict.json"
STATE = "state.json"


def is_saved_dataset(path: Path) -> bool:
    """Tells whether a folder is one that ``save_to_disk`` wrote."""
    return (path / DICT).is_file() or ((path / STATE).is_file() and any(path.glob("*.arrow")))


def saved_splits(path: Path) -> list[str]:
    """Gives the names of its splits; none where it is not divided.

    Raises:
        DataError: it does not say.
    """
    if not (path / DICT).is_file():
        return []
    try:
        names = json.loads((path / DICT).read_text(encoding="utf-8"))["splits"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"cannot read {path / DICT}: {error}") from error
    return [str(name) for name in names]


def load_saved_dataset(path: Path) -> Any:
    """Gives the dataset, its rows still on disk.

    Raises:
        ConfigError: the library is not installed.
        DataError: it cannot be read.
    """
    try:
        import datasets
    except ImportError:
        raise ConfigError(
            f"{path} is a dataset of Hugging Face; to read it, pip install datasets"
        ) from None
    try:
        return datasets.load_from_disk(str(path))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read the dataset in {path}: {error}") from error
