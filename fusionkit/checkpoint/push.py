"""``push_to_hub``: a saved model as one commit on the Hugging Face hub."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from torch import nn

from fusionkit.assembly.hub import explain
from fusionkit.checkpoint.card_file import CARD
from fusionkit.checkpoint.contents import INDEX, TENSORS
from fusionkit.checkpoint.model_card import ModelCard, is_hub_name
from fusionkit.checkpoint.save import save
from fusionkit.errors import CheckpointError, ConfigError
from fusionkit.model.fused import FusedModel
from fusionkit.saved.manifest import MANIFEST, read_manifest
from fusionkit.saved.texts import check_there
from fusionkit.tensors.shards import is_shard

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["push_to_hub"]

CHUNK = 1 << 20


def push_to_hub(
    model: FusedModel | str | PathLike[str],
    name: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    commit_message: str | None = None,
    token: str | bool | None = None,
) -> str:
    """Uploads a model, or the folder that ``save`` wrote, and gives the commit's address.

    The repository and the branch are made if need be. All files go into one commit, so that
    whoever downloads meanwhile has the old model or the new one; what an earlier push wrote and
    this one does not is removed. A folder's files are checked against their checksums first.

    Args:
        model: a model, which is saved with a card of its own; or a folder, for a ``ModelCard``
            or shards of one's choice.
        name: ``owner/name``.
        private: whether a new repository is private; ``None`` leaves that to the owner's
            settings, which is public where they say nothing.
        revision: the branch; by default the main one.
        commit_message: what the commit says.
        token: with the right to write; by default what ``hf auth login`` has kept.

    Raises:
        CheckpointError: the hub cannot be reached, or does not let one write there; or the folder
            is not a saved model or has changed; or as for ``save``.
        ConfigError: ``name`` is not of the form ``owner/name``.
    """
    if not is_hub_name(name):
        raise ConfigError(f"push_to_hub takes 'owner/name' as the name, got {name!r:.200}")
    with ExitStack() as until_pushed:
        if isinstance(model, nn.Module):
            place = until_pushed.enter_context(TemporaryDirectory(prefix="fusionkit-push-"))
            folder = save(model, Path(place) / "model", card=ModelCard(name=name))
        else:
            folder = Path(model)
        return _push(
            folder,
            name,
            private=private,
            revision=revision,
            message=commit_message or "Push by fusionkit",
            token=token,
        )


def _push(
    folder: Path,
    name: str,
    *,
    private: bool | None,
    revision: str | None,
    message: str,
    token: str | bool | None,
) -> str:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    files = _check_files(folder)
    api = HfApi(token=token, library_name="torch-fusionkit")
    try:
        api.create_repo(name, private=private, exist_ok=True)
        if revision is not None and not revision.startswith("refs/"):
            api.create_branch(name, branch=revision, exist_ok=True)
        operations: list[Any] = [
            *(CommitOperationAdd(file, str(folder / file)) for file in files),
            *(CommitOperationDelete(file) for file in _stale(api, name, revision, files)),
        ]
        commit = api.create_commit(name, operations, commit_message=message, revision=revision)
        return str(commit.commit_url)
    except Exception as error:  # the library raises what httpx, the hub and the disk raise
        raise CheckpointError(f"nothing was pushed to {name}: {explain(name, error)}") from error


def _check_files(folder: Path) -> list[str]:
    """Gives the names of the files to upload, after checking that none has changed."""
    checksums = read_manifest(folder)
    for file, checksum in checksums.items():
        check_there(folder / file)
        if _digest(folder / file) != checksum:
            raise CheckpointError(
                f"{folder / file} has changed since it was saved (its checksum differs), and is "
                "not pushed; save the model again"
            )
    card = [CARD] if (folder / CARD).is_file() else []
    return [*checksums, *card, MANIFEST]


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
    return digest.hexdigest()


def _stale(api: HfApi, name: str, revision: str | None, files: list[str]) -> list[str]:
    """Gives what an earlier push of tensors wrote and this one does not."""
    there = api.list_repo_files(name, revision=revision)
    ours = [file for file in there if file in (TENSORS, INDEX) or is_shard(file)]
    return [file for file in ours if file not in files]
