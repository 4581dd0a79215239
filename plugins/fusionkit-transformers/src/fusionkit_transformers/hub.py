"""Fetches the files of a repository, all of one commit, into huggingface_hub's cache."""

from __future__ import annotations

from pathlib import Path

from fusionkit import CheckpointError, ConfigError, FusionKitError

__all__ = ["TOKENIZER", "fetch", "fetch_code", "fetch_tokenizer", "fetch_weights"]

CONFIG = "config.json"
PROCESSOR = "preprocessor_config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
TOKENIZER = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.txt", "vocab.json", "merges.txt", "tokenizer.model", "spiece.model", "spm.model"),
    "sentencepiece.bpe.model",
)
"""The files that a tokenizer of some kind is read from; each has some of them."""


def fetch(name: str) -> Path:
    """Gives a folder with the description of a repository, without its weights.

    Args:
        name: ``owner/name`` or ``owner/name@revision``.

    Raises:
        CheckpointError: the hub cannot be reached, or has no such repository, or keeps it closed.
        ConfigError: the repository describes no model.
    """
    repository, _, revision = name.partition("@")
    path = _download(name, repository, CONFIG, revision or None)
    if path is None:
        raise ConfigError(
            f"hf/{name} holds no config.json, which says what model it is; take a repository "
            "whose weights transformers reads"
        )
    folder = path.parent
    _download(name, repository, PROCESSOR, folder.name)
    return folder


def fetch_weights(name: str, folder: Path) -> None:
    """Puts the safetensors files of a repository beside its description.

    What is missing in the end is for the loader to say.
    """
    import json

    repository = name.partition("@")[0]
    if _download(name, repository, WEIGHTS, folder.name) is not None:
        return
    index = _download(name, repository, INDEX, folder.name)
    if index is not None:
        for shard in sorted(set(json.loads(index.read_text())["weight_map"].values())):
            _download(name, repository, shard, folder.name)


def fetch_tokenizer(name: str) -> Path:
    """Gives a folder with the tokenizer of a repository.

    What was fetched once of a commit is not asked for again, nor what it was found to lack.

    Args:
        name: ``owner/name`` or ``owner/name@revision``.

    Raises:
        CheckpointError: the hub cannot be reached, or has no such repository, or keeps it closed.
        ConfigError: it holds no tokenizer.
    """
    from huggingface_hub import try_to_load_from_cache

    repository, _, revision = name.partition("@")
    folder: Path | None = None
    for file in (*TOKENIZER, CONFIG):  # the last may tell what kind of tokenizer it is
        commit = (revision or None) if folder is None else folder.name
        known = try_to_load_from_cache(repository, file, revision=commit)
        if known is None:
            path = _download(name, repository, file, commit)
        else:
            path = Path(known) if isinstance(known, str) else None
        if path is not None and file != CONFIG:
            folder = path.parent
    if folder is None:
        raise ConfigError(f"{name} holds no tokenizer that transformers reads")
    return folder


def fetch_code(name: str, folder: Path) -> None:
    """Puts the Python files of a repository beside its description; only where that was asked."""
    from huggingface_hub import snapshot_download

    try:
        snapshot_download(
            name.partition("@")[0], revision=folder.name, allow_patterns=["*.py", "*.json"]
        )
    except Exception as error:
        raise _unreachable(name, error) from error


def _download(name: str, repository: str, file: str, revision: str | None) -> Path | None:
    """Gives the file's path, or ``None`` where the repository has no such file."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repository, file, revision=revision))
    except LocalEntryNotFoundError as error:  # no network, which says nothing of what is there
        if file == PROCESSOR:
            return None
        raise _unreachable(name, error) from error
    except EntryNotFoundError:
        return None
    except Exception as error:
        raise _unreachable(name, error) from error


def _unreachable(name: str, error: Exception) -> FusionKitError:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    first = (str(error).strip().splitlines() or [""])[0][:200]
    if isinstance(error, GatedRepoError):
        return CheckpointError(
            f"hf/{name} is given only to who has agreed to its licence: agree on its page and "
            "run `hf auth login`, or download it once and write hf/local-dir:PATH"
        )
    if isinstance(error, RepositoryNotFoundError):
        return CheckpointError(
            f"the hub has no repository {name!r} that you may see; look at the spelling, run "
            "`hf auth login` if it is private, or write hf/local-dir:PATH for a folder"
        )
    return CheckpointError(
        f"cannot fetch hf/{name}: no network, or the hub does not answer "
        f"({type(error).__name__}: {first}); download the repository where there is a network "
        "and write hf/local-dir:PATH, or give a model type and weights=None, such as hf/dinov2"
    )
