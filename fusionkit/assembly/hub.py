"""Fetches the safetensors files of a repository on the Hugging Face hub, all of one commit."""

from __future__ import annotations

from pathlib import Path

from fusionkit.errors import CheckpointError

__all__ = ["fetch"]

PATTERNS = ["*.safetensors", "*.safetensors.index.json", "config.json"]


def fetch(name: str) -> Path:
    """Gives the folder in huggingface_hub's cache with a repository's tensors.

    Nothing but safetensors files, their index and ``config.json`` is downloaded; what is in the
    cache is not downloaded again.

    Args:
        name: ``owner/name`` or ``owner/name@revision``, a branch, tag or commit.

    Raises:
        CheckpointError: the hub cannot be reached, or has no such repository or revision, or
            keeps it closed.
    """
    from huggingface_hub import snapshot_download

    repository, _, revision = name.partition("@")
    try:
        return Path(
            snapshot_download(repository, revision=revision or None, allow_patterns=PATTERNS)
        )
    except Exception as error:  # the library raises what httpx, the hub and the disk raise
        raise CheckpointError(_explain(name, error)) from error


def _explain(name: str, error: Exception) -> str:
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, GatedRepoError):
        return (
            f"hf-hub:{name} is given only to who has agreed to its licence: agree on its page and "
            "run `hf auth login`, or download it once and give the folder"
        )
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"the hub has no repository {name!r} that you may see; look at the spelling, run "
            "`hf auth login` if it is private, or give a folder"
        )
    if isinstance(error, RevisionNotFoundError):
        return f"hf-hub:{name}: the repository has no such branch, tag or commit"
    if isinstance(error, HFValidationError):
        return f"hf-hub:{name} is no name on the hub, which is written hf-hub:owner/name"
    first = (str(error).strip().splitlines() or [""])[0][:200]
    return (
        f"cannot fetch hf-hub:{name}: no network, or the hub does not answer "
        f"({type(error).__name__}: {first}); download it where there is a network and give the "
        "folder"
    )
