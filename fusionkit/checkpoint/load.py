"""``load``: a saved folder as the model that it was."""

from __future__ import annotations

from itertools import chain
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor

from fusionkit.assembly.compose import assemble
from fusionkit.assembly.factory import reworded
from fusionkit.catalog import Catalog
from fusionkit.checkpoint.bounds import Bounds
from fusionkit.checkpoint.config import CONFIG, SavedModel, backbone_of, parse_config
from fusionkit.checkpoint.contents import INDEX, TENSORS, is_contents, read_contents
from fusionkit.checkpoint.leftovers import recover
from fusionkit.checkpoint.model_card import is_hub_name
from fusionkit.checkpoint.place import check_place
from fusionkit.errors import CheckpointError, FusionKitError, PolicyError, did_you_mean
from fusionkit.model.fused import FusedModel
from fusionkit.recipe.weights import HUB
from fusionkit.saved.manifest import MANIFEST, read_manifest
from fusionkit.saved.texts import read_text
from fusionkit.tensors.cast import cast_floats
from fusionkit.tensors.finite import KnownFinite
from fusionkit.tensors.match import load_tensors

__all__ = ["load"]

ATTEMPTS = 10
SMALL = 10_000
"""Up to here a config's sizes are taken as they are."""


def load(
    folder: str | PathLike[str],
    *,
    catalog: Catalog | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    mmap: bool = False,
) -> FusedModel:
    """Gives the model that ``save`` wrote, in eval mode, at the epoch at which it was saved.

    Every value and type is as it was, on the CPU, in the default memory format, unless another
    device or type is asked for; buffers follow, and tied tensors stay tied. Nothing is
    downloaded, nothing unpickled, no code of the folder's is run; files that the manifest does
    not list are not looked at. Each file is read once and checked against its checksum.

    Args:
        folder: what ``save`` wrote.
        catalog: where names are looked up; by default all installed plugins.
        device: where to, such as ``"cuda"``; by default the CPU.
        dtype: of all floating-point parameters and buffers, such as ``torch.bfloat16``; by
            default what each was saved with.
        mmap: maps the files into memory instead of reading them, which takes less time and shares
            memory between processes. Then nobody may write to them while the model lives, as
            ``Weights`` says; ``save`` into the same folder does no harm, since it never does.

    Raises:
        CheckpointError: a file is missing, changed, of a later format, or does not fit; or a
            value is too large for ``dtype``.
        ConfigError: there is no such device here, or ``dtype`` is none to compute with; a plugin
            that the model was built with is not installed, or no longer knows a name or an
            option.
        PluginError: a plugin that the model was built with is broken or blocked.
        AssemblyError: a factory that the model was built with failed.
    """
    where = check_place(device, dtype)
    path = Path(folder)
    finite = KnownFinite()
    saved, tensors = _read(path, finite, maps=mmap)
    _check_sizes(saved, tensors, path / CONFIG)
    with Bounds(tensors, path / CONFIG):
        model = _build(saved, catalog or Catalog.installed())
    _compare(model, saved, path)
    dtypes = {**saved.dtypes, **{name: value.dtype for name, value in tensors.items()}}
    if dtype is not None:
        dtypes = {name: dtype for name, _ in chain(model.named_parameters(), model.named_buffers())}
    cast_floats(model, dtypes, device=where, emptied=tensors)
    try:
        load_tensors(model, tensors, str(path), adopt=True, finite=finite)
    except CheckpointError as error:
        raise CheckpointError(_with_origins(error, saved)) from error
    for name, branch in saved.branches.items():
        backbone = backbone_of(model, name)
        backbone.weights = branch.weights
        backbone.license, backbone.base_model = branch.license, branch.base_model
    thaws = {name: branch.thaws for name, branch in saved.branches.items() if branch.thaws}
    try:
        return model.eval().set_epoch(saved.epoch, thaws)
    except PolicyError as error:
        raise CheckpointError(f"{path / CONFIG}: {error}") from error


def _read(path: Path, finite: KnownFinite, *, maps: bool) -> tuple[SavedModel, dict[str, Tensor]]:
    """Reads and checks the folder, again if a save replaced it meanwhile."""
    for _ in range(ATTEMPTS - 1):
        before = _identity(path)
        try:
            return _read_once(path, finite, maps=maps)
        except CheckpointError:
            if _identity(path) == before:
                raise
    return _read_once(path, finite, maps=maps)


def _identity(path: Path) -> tuple[int, ...]:
    try:
        facts = path.stat()
    except OSError:
        return ()
    return (facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns)


def _read_once(
    path: Path, finite: KnownFinite, *, maps: bool
) -> tuple[SavedModel, dict[str, Tensor]]:
    try:
        recover(path.absolute())
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
    if not path.is_dir():
        raise CheckpointError(_no_folder(path))
    checksums = read_manifest(path)
    if CONFIG not in checksums or not is_contents(set(checksums) - {CONFIG}):
        raise CheckpointError(
            f"{path}: the manifest lists {', '.join(map(repr, checksums)):.200} instead of "
            f"{CONFIG!r} and {TENSORS!r}, or {INDEX!r} with its shards"
        )
    saved = parse_config(read_text(path / CONFIG, checksums.pop(CONFIG)), path / CONFIG)
    return saved, read_contents(path, checksums, finite, maps=maps)


def _no_folder(path: Path) -> str:
    name, at, revision = path.as_posix().removeprefix(HUB).partition("@")
    if path.as_posix().startswith(HUB) or (at and is_hub_name(name)):
        asked = f", revision={revision!r}" if at else ""
        return (
            f"there is no folder {path}; load does not download, but "
            f"from_pretrained({name!r}{asked}) does"
        )
    if path.is_file():
        if (path.parent / MANIFEST).is_file():
            return f"{path} is one file of a saved model; load its folder, {str(path.parent)!r}"
        return f"{path} is a file; load takes the folder that save wrote"
    known = [each.parent.name for each in path.parent.glob(f"*/{MANIFEST}")]
    return f"there is no folder {path}.{did_you_mean(path.name, known)}"


def _check_sizes(saved: SavedModel, tensors: dict[str, Tensor], path: Path) -> None:
    """Refuses a config that would build layers larger than everything that the file holds."""
    most = max(SMALL, sum(value.numel() for value in tensors.values()))
    asked = {f"in_channels of {n!r}": b.in_channels for n, b in saved.recipe.branches.items()}
    for what, size in {"num_classes": saved.recipe.num_classes or 1, **asked}.items():
        if size > most:
            raise CheckpointError(
                f"{path}: {what} is {size:,}, but all tensors of the file together hold {most:,} "
                "values at most; it is damaged"
            )


def _build(saved: SavedModel, catalog: Catalog) -> FusedModel:
    rebuilds = {
        name: branch.rebuild
        for name, branch in saved.branches.items()
        if branch.rebuild is not None
    }
    try:
        return assemble(saved.recipe, catalog, load_weights=False, rebuilds=rebuilds)
    except FusionKitError as error:
        raise reworded(error, _with_origins(error, saved)) from error


def _with_origins(error: FusionKitError, saved: SavedModel) -> str:
    return f"{str(error).rstrip('.')}. {saved.made_by}"


def _compare(model: FusedModel, saved: SavedModel, path: Path) -> None:
    """Refuses a plugin that now builds something else under the same name."""
    for name, part in model.parts.items():
        was = saved.branches[name]
        width = backbone_of(model, name).embed_dim
        facts = (
            ("a width of", was.embed_dim, width),
            ("the stages", ", ".join(was.stages), ", ".join(part.anatomy.stages)),
        )
        for what, then, now in facts:
            if then != now:
                raise CheckpointError(
                    f"{path}: branch {name!r} was saved with {what} {then}, but "
                    f"{part.branch.backbone!r} now has {now}; install what it was saved with. "
                    + saved.made_by
                )
