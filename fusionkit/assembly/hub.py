"""Fetches the safetensors files of a repository on the Hugging Face hub, all of one commit."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

from fusionkit.errors import CheckpointError

__all__ = ["explain", "fetch"]

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
        raise CheckpointError(explain(name, error)) from error


def explain(name: str, error: Exception) -> str:
    """Says why the hub did not do what it was asked for, and what to do about it."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    wraps = isinstance(error, (LocalEntryNotFoundError, RuntimeError))
    if wraps and isinstance(error.__cause__, Exception):
        error = error.__cause__  # why it looked in the cache, or why an upload ended
    reasons: dict[type[Exception], str] = {
        GatedRepoError: (
            f"hf-hub:{name} is given only to who has agreed to its licence: agree on its page and "
            "run `hf auth login`, or download it once and give the folder"
        ),
        RepositoryNotFoundError: (
            f"the hub has no repository {name!r} that you may see; look at the spelling, run "
            "`hf auth login` if it is private, or give a folder"
        ),
        RevisionNotFoundError: f"hf-hub:{name}: the repository has no such branch, tag or commit",
        HFValidationError: (
            f"hf-hub:{name} is no name on the hub, which is written hf-hub:owner/name"
        ),
    }
    for kind, reason in reasons.items():
        if isinstance(error, kind):
            return reason
    return _explain_status(name, error)


def _explain_status(name: str, error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == HTTPStatus.UNAUTHORIZED:
        return (
            f"hf-hub:{name}: the hub does not know who is asking; run `hf auth login`, or give a "
            "token that is valid"
        )
    if status == HTTPStatus.FORBIDDEN:
        return (
            f"hf-hub:{name}: the hub does not allow you that; look at the rights of your token, "
            "and at yours in that repository"
        )
    said = " ".join(str(error).split())[:200]
    if isinstance(error, ValueError):
        return f"hf-hub:{name}: {said}"
    return (
        f"hf-hub:{name}: no network, or the hub does not answer as it should "
        f"({type(error).__name__}: {said}); where there is no network, give a folder"
    )
