"""``load``: a saved folder as the model that it was."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from fusionkit.assembly.compose import assemble
from fusionkit.backbone.contract import Backbone
from fusionkit.catalog import Catalog
from fusionkit.checkpoint.folder import read_manifest, recover
from fusionkit.checkpoint.save import CONFIG, FORMAT, TENSORS
from fusionkit.errors import CheckpointError, ConfigError
from fusionkit.model.fused import FusedModel
from fusionkit.recipe.form import recipe_from_data
from fusionkit.recipe.text import parse_json
from fusionkit.tensors.match import load_tensors
from fusionkit.tensors.read import read_tensors

__all__ = ["load"]


def load(folder: str | PathLike[str], *, catalog: Catalog | None = None) -> FusedModel:
    """Gives the model that ``save`` wrote, in eval mode, at the epoch at which it was saved.

    Nothing is downloaded, nothing unpickled, no code of the folder's is run. Every file is
    checked against its checksum first.

    Args:
        folder: what ``save`` wrote.
        catalog: where names are looked up; by default all installed plugins.

    Raises:
        CheckpointError: a file is missing, changed, of a later format, or does not fit.
        PluginError: a plugin that the model was built with is broken or blocked.
        ConfigError: a plugin that the model was built with is not installed.
    """
    path = Path(folder)
    recover(path)
    listed = read_manifest(path)
    for name in (CONFIG, TENSORS):
        if name not in listed:
            raise CheckpointError(f"{path}: the manifest does not list {name}")
    config = _read_config(path / CONFIG)
    recipe = recipe_from_data(config["recipe"], str(path / CONFIG))
    try:
        model = assemble(recipe, catalog or Catalog.installed(), load_weights=False)
    except ConfigError as error:
        made = {str(branch.get("from", "")) for branch in config["branches"].values()}
        raise type(error)(
            f"{error} (the model was saved with {', '.join(sorted(made - {''}))})"
        ) from error
    _compare(model, config, path)
    load_tensors(model, read_tensors(path / TENSORS), str(path / TENSORS))
    for name, branch in model.recipe.branches.items():
        backbone = model.branches[name]
        assert isinstance(backbone, Backbone)
        backbone.weights = _weights_name(branch.weights)
    return model.eval().set_epoch(config["epoch"])


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = parse_json(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError, ConfigError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
    version = config.get("format") if isinstance(config, dict) else None
    if not isinstance(version, int) or version < 1:
        raise CheckpointError(f"{path} is not the config of a saved fusionkit model")
    if version > FORMAT:
        raise CheckpointError(
            f"{path} is of format {version}, but this fusionkit reads formats up to {FORMAT}; "
            "install a newer torch-fusionkit"
        )
    for key, kind in (("recipe", dict), ("epoch", int), ("branches", dict)):
        if not isinstance(config.get(key), kind):
            raise CheckpointError(f"{path}: the field {key!r} is missing or is no {kind.__name__}")
    checked: dict[str, Any] = config
    return checked


def _compare(model: FusedModel, config: dict[str, Any], path: Path) -> None:
    """Refuses a plugin that now builds something else under the same name."""
    for name, part in model.parts.items():
        saved = config["branches"].get(name, {})
        width = model.branches[name].embed_dim
        if saved.get("embed_dim") != width:
            raise CheckpointError(
                f"{path}: branch {name!r} was saved with a width of {saved.get('embed_dim')}, but "
                f"{part.branch.backbone!r} now has {width}; it was saved with {saved.get('from')}"
            )


def _weights_name(weights: object) -> str | None:
    if weights is None:
        return None
    return str(weights).replace("\\", "/").rpartition("/")[2]
