"""Which splits a source has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fusionkit.data.folder import folder_splits, input_folders
from fusionkit.data.saved_dataset import is_saved_dataset, saved_splits
from fusionkit.data.split_names import call_split
from fusionkit.data.table import read_table
from fusionkit.errors import DataError

__all__ = ["find_splits"]

SPLIT = "split"


def find_splits(source: str | Path, inputs: Sequence[str] = ("image",)) -> tuple[str, ...]:
    """Gives the names of the splits in a folder or a manifest; none where it is not divided.

    A split ``valid`` or ``validation`` is called ``val``, as ``open_samples`` does.

    Raises:
        DataError: there is no such file or folder.
    """
    path = Path(source)
    if not path.exists():
        raise DataError(f"there are no data at {path}")
    if is_saved_dataset(path):
        found = saved_splits(path)
    elif path.is_dir():
        found = list(folder_splits(next(iter(input_folders(path, inputs).values()))))
    else:
        table = read_table(path)
        if SPLIT not in table.columns:
            return ()
        found = [row[SPLIT] for row in table.rows if row[SPLIT]]
    return tuple(sorted(set(map(call_split, found))))
