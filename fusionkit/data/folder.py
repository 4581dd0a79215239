"""Image folders: ``DIR/SPLIT/CLASS/FILE``, with ``DIR/INPUT/`` in front for several inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fusionkit.data.classes import Absent, check_all_present, positions, to_label
from fusionkit.data.sample import ListedSamples, Sample
from fusionkit.data.split_names import find_split
from fusionkit.data.walk import list_files, list_folders
from fusionkit.errors import DataError, did_you_mean, some_of

__all__ = ["folder_splits", "input_folders", "read_class_folders", "read_unlabelled"]

SPLITS = ("train", "val", "valid", "validation", "test")


def input_folders(folder: Path, inputs: Sequence[str]) -> dict[str, Path]:
    """Gives the folder of each input: ``DIR/INPUT``, or ``DIR`` itself where there is one input.

    Raises:
        DataError: there are several inputs, and one has no folder.
    """
    if len(inputs) == 1:
        inner = folder / inputs[0]
        has_inner = inner.is_dir() and bool(list_folders(inner)) and not folder_splits(folder)
        return {inputs[0]: inner if has_inner else folder}
    for name in inputs:
        if not (folder / name).is_dir():
            there = [path.name for path in list_folders(folder)]
            raise DataError(
                f"{folder} has no folder {name!r}.{did_you_mean(name, there)} Several inputs lie "
                f"in a folder each, {folder.name}/{name}/train/CLASS/FILE"
            )
    return {name: folder / name for name in inputs}


def folder_splits(folder: Path) -> dict[str, Path]:
    """Gives the folders of splits that lie in ``folder``, by their own names."""
    return {path.name: path for path in list_folders(folder) if path.name in SPLITS}


def read_class_folders(
    folder: Path,
    split: str | None,
    inputs: Sequence[str],
    classes: Sequence[str] | None,
    absent: Absent,
) -> ListedSamples:
    """Gives the samples of one split, labelled by the folder that they lie in.

    The classes are those of the training split, if there is one and ``classes`` does not say
    otherwise.

    Raises:
        DataError: no such split, no class folders, an empty one, a class that training does not
            know, a sample that lacks an input, a file or class folder that only a later input has.
    """
    roots = input_folders(folder, inputs)
    first = inputs[0]
    here = {name: _split_folder(root, split) for name, root in roots.items()}
    found = {path.name: path for path in list_folders(here[first])}
    if not found:
        raise DataError(
            f"{here[first]} has no class folders: images lie in CLASS/FILE; for images without "
            "labels there is `fusionkit predict`, or open_predict"
        )
    if all(folder_splits(each) for each in found.values()):
        names = ", ".join(found)
        raise DataError(
            f"the folders {names} of {here[first]} hold splits, not images: they are inputs. Name "
            f"one as the input that a branch reads, for example input: {next(iter(found))}, or "
            "give its folder"
        )
    if classes is None:
        train = folder_splits(roots[first]).get("train") if split is not None else None
        classes = [path.name for path in list_folders(train)] if train else sorted(found)
    for name in inputs[1:]:
        if alone := [path for path in list_folders(here[name]) if path.name not in found]:
            raise DataError(
                f"{len(alone)} class folder{'s' if len(alone) > 1 else ''} of {here[name]} "
                f"{'are' if len(alone) > 1 else 'is'} not in {here[first]}: "
                f"{some_of(alone)}; each input "
                "has a file for each sample"
            )
    numbers = positions(classes)
    labels = {name: to_label(name, numbers, str(here[first])) for name in found}
    samples: list[Sample] = []
    ignored: list[str] = []
    for name, folder_of_class in found.items():
        files, others = list_files(folder_of_class)
        ignored += map(str, others)
        if not files:
            raise DataError(
                f"the class folder {folder_of_class} holds no images; add some, or remove "
                "the folder"
            )
        samples += [
            Sample(path.relative_to(roots[first]).as_posix(), {first: path}, labels[name])
            for path in files
        ]
    samples = _with_partners(samples, roots, here, inputs)
    whole = "refuse" if split in (None, "train") else absent
    check_all_present((sample.label for sample in samples), classes, str(here[first]), whole)
    return ListedSamples(samples, classes, inputs, ignored)


def read_unlabelled(folder: Path, inputs: Sequence[str]) -> ListedSamples:
    """Gives all images below a folder, without labels.

    Raises:
        DataError: there is none, a sample lacks an input, or only a later input has a file.
    """
    roots = input_folders(folder, inputs)
    first = inputs[0]
    files, others = list_files(roots[first])
    if not files:
        raise DataError(f"{roots[first]} holds no images")
    samples = [Sample(path.relative_to(roots[first]).as_posix(), {first: path}) for path in files]
    return ListedSamples(
        _with_partners(samples, roots, roots, inputs), (), inputs, list(map(str, others))
    )


def _split_folder(root: Path, split: str | None) -> Path:
    splits = folder_splits(root)
    if split is None:
        if "train" in splits:
            raise DataError(
                f"{root} has the splits {', '.join(splits)}: say which, split='train' for example"
            )
        return root
    name = find_split(split, lambda name: (root / name).is_dir())
    if name is not None:
        return root / name
    there = ", ".join(splits) or "none"
    raise DataError(
        f"{root} has no split {split!r}; it has {there}.{did_you_mean(split, splits)} Where there "
        "is no split to validate, split_samples makes one"
    )


def _with_partners(
    samples: Sequence[Sample],
    roots: Mapping[str, Path],
    here: Mapping[str, Path],
    inputs: Sequence[str],
) -> list[Sample]:
    """Gives the samples with the files of the other inputs, which lie at the same relative path."""
    first, *others = inputs
    if not others:
        return list(samples)
    labelled = here is not roots  # then what lies in no class folder is no sample
    tables = {name: _partners(roots[name], here[name], labelled=labelled) for name in others}
    joined: list[Sample] = []
    lacking: list[str] = []
    taken: dict[str, set[Path | None]] = {name: set() for name in others}
    for sample in samples:
        partners = {
            name: table.get(sample.id) or table.get(_stem(sample.id))
            for name, table in tables.items()
        }
        if absent := [name for name, path in partners.items() if path is None]:
            lacking.append(f"{roots[absent[0]] / sample.id}")
            continue
        for name, path in partners.items():
            taken[name].add(path)
        joined.append(Sample(sample.id, {**sample.inputs, **partners}, sample.label))
    if lacking:
        raise DataError(
            f"{len(lacking)} of {len(samples)} samples of {here[first]} lack another input at the "
            f"same relative path: {some_of(lacking)}"
        )
    for name in others:
        files = set(tables[name].values())
        if alone := sorted(files - taken[name]):
            raise DataError(
                f"{len(alone)} of {len(files)} files of {here[name]} have no partner at the same "
                f"relative path in {here[first]}: "
                f"{some_of(alone)}; add it, "
                "or take the file away"
            )
    return joined


def _partners(root: Path, here: Path, *, labelled: bool) -> dict[str, Path]:
    """Gives the files of an input by relative path, and by that path without its kind of file.

    A partner may be of another kind of file, as long as it is clear which one it is.
    """
    files, _ = list_files(here)
    files = [path for path in files if not labelled or path.parent != here]
    table = {path.relative_to(root).as_posix(): path for path in files}
    stems: dict[str, list[Path]] = {}
    for path in files:
        stems.setdefault(_stem(path.relative_to(root).as_posix()), []).append(path)
    return table | {stem: paths[0] for stem, paths in stems.items() if len(paths) == 1}


def _stem(relative: str) -> str:
    return relative.rsplit(".", 1)[0] + "."
