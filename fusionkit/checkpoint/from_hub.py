"""``from_pretrained``: a saved model from the Hugging Face hub, or from a folder."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import torch

from fusionkit.assembly.hub import explain
from fusionkit.catalog import Catalog
from fusionkit.checkpoint.load import load
from fusionkit.checkpoint.model_card import is_hub_name
from fusionkit.checkpoint.place import check_place
from fusionkit.errors import CheckpointError, ConfigError
from fusionkit.model.fused import FusedModel
from fusionkit.recipe.weights import HUB
from fusionkit.saved.manifest import MANIFEST, read_manifest

__all__ = ["from_pretrained"]


def from_pretrained(
    name: str | PathLike[str],
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    catalog: Catalog | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    mmap: bool = False,
) -> FusedModel:
    """Gives the model that ``push_to_hub`` wrote, in eval mode, or that of a folder.

    All files are of one commit, and each is checked against its checksum as ``load`` does it.
    Only what the model's own manifest lists is downloaded, and nothing that is in
    huggingface_hub's cache already.

    Example::

        model = fusionkit.from_pretrained("owner/name", revision="v1.0")

    Args:
        name: ``owner/name`` on the hub; a folder of that path goes before it.
        revision: a branch, tag or commit of the repository; by default its main branch.
        token: for repositories that are private; by default what ``hf auth login`` has kept.
        catalog: where names are looked up; by default all installed plugins.
        device: where to, as for ``load``.
        dtype: of all floating-point values, as for ``load``.
        mmap: as for ``load``; files in the cache are not written to.

    Raises:
        CheckpointError: the hub cannot be reached, has no such repository or revision, keeps it
            closed, or holds no fusionkit model; or as for ``load``.
        ConfigError: the name or revision is written otherwise; or as for ``load``.
    """
    if isinstance(name, str):
        _check_spelling(name)
    is_local = not isinstance(name, str) or not is_hub_name(name)
    if is_local or Path(name).is_dir():
        if revision is not None:
            raise ConfigError(f"{str(name)!r:.200} is a folder, which has no revision {revision!r}")
        folder: str | PathLike[str] = name
    else:
        check_place(device, dtype)  # before much is downloaded for nothing
        folder = _fetch(str(name), revision, token)
    return load(folder, catalog=catalog, device=device, dtype=dtype, mmap=mmap)


def _check_spelling(name: str) -> None:
    repository, at, revision = name.removeprefix(HUB).partition("@")
    if name.startswith(HUB) or (at and is_hub_name(repository)):
        asked = f", revision={revision!r}" if at else ""
        raise ConfigError(f"write from_pretrained({repository!r}{asked}), not {name!r:.200}")


def _fetch(name: str, revision: str | None, token: str | bool | None) -> Path:
    """Gives the folder in the hub's cache, with all files that the manifest lists."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    full = f"{name}@{revision}" if revision else name
    try:
        manifest = Path(hf_hub_download(name, MANIFEST, revision=revision, token=token))
        commit = manifest.parent.name  # so that a push meanwhile does not mix two models
        for file in read_manifest(manifest.parent):
            hf_hub_download(name, file, revision=commit, token=token)
    except CheckpointError:
        raise
    except Exception as error:  # the library raises what httpx, the hub and the disk raise
        is_there = isinstance(error, EntryNotFoundError)
        if is_there and not isinstance(error, LocalEntryNotFoundError):
            raise CheckpointError(
                f"{full} on the hub is no whole fusionkit model ({_first_line(error)}); for a "
                f"branch's weights write Weights('{HUB}{full}')"
            ) from error
        raise CheckpointError(explain(full, error)) from error
    return manifest.parent


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if "Not Found" in line]
    return (lines or [type(error).__name__])[0][:200]
