"""``open_samples``: samples from whatever holds them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from fusionkit.data.classes import Absent, check_classes
from fusionkit.data.folder import read_class_folders, read_unlabelled
from fusionkit.data.hugging_face import from_hugging_face
from fusionkit.data.manifest import read_manifest
from fusionkit.data.sample import ListedSamples, Sample, Samples
from fusionkit.data.saved_dataset import is_saved_dataset, load_saved_dataset
from fusionkit.data.torch_dataset import from_torch
from fusionkit.errors import ConfigError, DataError
from fusionkit.recipe.values import check_name

__all__ = ["open_predict", "open_samples"]


def open_samples(
    source: Any,
    split: str | None = None,
    *,
    inputs: Sequence[str] = ("image",),
    classes: Sequence[str] | None = None,
    label: str = "label",
    texts: Sequence[str] = (),
    ids: Sequence[str] | None = None,
    absent: Absent = "warn",
) -> Samples:
    """Gives labelled samples; nothing is decoded yet.

    Args:
        source: an image folder (``DIR/SPLIT/CLASS/FILE``, ``DIR/INPUT/SPLIT/CLASS/FILE`` or
            ``DIR/CLASS/FILE``), a manifest (``.csv``, ``.tsv`` or ``.parquet``), a torch dataset
            with a length, a dataset of Hugging Face or the folder that its ``save_to_disk`` wrote,
            or ``Samples``.
        split: for example ``"train"`` or ``"val"``; ``None`` where the source has no splits.
        inputs: the names of the inputs: folders, columns or keys.
        classes: their names in the order of the labels. Where a dataset names its classes itself,
            its labels become those of the same names, whatever its own order is. Without it they
            are those of the training split of the same source.
        label: the column or key of the label.
        texts: the inputs of a manifest whose cells are texts and no paths.
        ids: of the samples of a dataset; its positions are taken otherwise.
        absent: what happens when a split other than ``train`` has no sample of a class:
            ``"refuse"``, ``"warn"`` or ``"allow"``.

    Raises:
        DataError: what is wrong with the data, and where.
        ConfigError: an argument is wrong, or a source of this kind is not known.
    """
    inputs = _check_inputs(inputs, texts)
    classes = None if classes is None else check_classes(classes)
    if isinstance(source, Samples):
        return source
    path = _as_path(source)
    if path is None:
        if _is_hugging_face(source):
            return from_hugging_face(
                source, inputs, split=split, classes=classes, label=label, ids=ids
            )
        if hasattr(source, "__getitem__") or hasattr(source, "__iter__"):
            if split is not None:
                raise ConfigError(
                    f"a {type(source).__name__} has no splits: give the dataset of the split "
                    f"{split!r} itself"
                )
            return from_torch(source, inputs, classes, label, ids)
        raise ConfigError(
            "samples come from a folder, a manifest, a torch dataset or one of Hugging Face, "
            f"got {type(source).__name__}"
        )
    if is_saved_dataset(path):
        return from_hugging_face(
            load_saved_dataset(path), inputs, split=split, classes=classes, label=label, ids=ids
        )
    if path.is_dir():
        return read_class_folders(path, split, inputs, classes, absent)
    return read_manifest(path, split, inputs, classes, label=label, texts=texts, absent=absent)


def open_predict(
    source: Any,
    inputs: Sequence[str] = ("image",),
    *,
    texts: Sequence[str] = (),
    ids: Sequence[str] | None = None,
) -> Samples:
    """Gives samples without labels: of a folder, a manifest, one file, a list of paths, a dataset.

    Raises:
        DataError: what is wrong with the data, and where.
        ConfigError: an argument is wrong, or a source of this kind is not known.
    """
    inputs = _check_inputs(inputs, texts)
    if isinstance(source, Samples):
        return source
    if isinstance(source, (list, tuple)):
        return _listed_files([Path(each) for each in source], inputs)
    path = _as_path(source)
    if path is None:
        if _is_hugging_face(source):
            return from_hugging_face(source, inputs, split=None, classes=None, label=None, ids=ids)
        return from_torch(source, inputs, (), None, ids)
    return _open_path(path, inputs, texts)


def _open_path(path: Path, inputs: Sequence[str], texts: Sequence[str]) -> Samples:
    if is_saved_dataset(path):
        dataset = load_saved_dataset(path)
        return from_hugging_face(dataset, inputs, split=None, classes=None, label=None, ids=None)
    if path.is_dir():
        return read_unlabelled(path, inputs)
    if path.suffix.lower() in (".csv", ".tsv", ".parquet", ".pq"):
        return read_manifest(path, None, inputs, (), label=None, texts=texts, absent="allow")
    return _listed_files([path], inputs)


def _listed_files(paths: Sequence[Path], inputs: Sequence[str]) -> ListedSamples:
    if len(inputs) != 1:
        raise ConfigError(
            f"files hold one input, and {', '.join(map(repr, inputs))} are asked for; give a "
            "manifest with a column for each"
        )
    if not paths:
        raise DataError("the list of files is empty")
    for path in paths:
        if not path.is_file():
            raise DataError(f"there is no file {path}")
    if twice := [path for path, count in Counter(paths).items() if count > 1]:
        raise DataError(f"the file {twice[0]} is given twice")
    return ListedSamples([Sample(str(path), {inputs[0]: path}) for path in paths], (), inputs)


def _check_inputs(inputs: Sequence[str], texts: Sequence[str]) -> tuple[str, ...]:
    if isinstance(inputs, str) or not inputs:
        raise ConfigError(f"inputs must be a list of names such as ('image',), got {inputs!r:.80}")
    for name in inputs:
        check_name("input", name)
        if list(inputs).count(name) > 1:
            raise ConfigError(f"the input {name!r} stands twice in inputs")
    for name in texts:
        if name not in inputs:
            raise ConfigError(f"texts names {name!r}, which is none of the inputs")
    return tuple(inputs)


def _as_path(source: Any) -> Path | None:
    if not isinstance(source, (str, PathLike)):
        return None
    path = Path(source)
    if not path.exists():
        raise DataError(f"there is no folder or file {path}")
    return path


def _is_hugging_face(source: Any) -> bool:
    return type(source).__module__.partition(".")[0] == "datasets"
