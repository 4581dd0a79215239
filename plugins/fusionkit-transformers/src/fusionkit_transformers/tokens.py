"""``Tokens``: from a text to what a text encoder takes, by the tokenizer that lies beside it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

from fusionkit import ConfigError
from fusionkit_transformers import hub
from fusionkit_transformers.names import FOLDER
from fusionkit_transformers.quiet import quiet
from fusionkit_transformers.source import Source

__all__ = ["Tokens", "tokenizer_of"]

KNOWN = ("input_ids", "attention_mask", "token_type_ids")


@dataclass(frozen=True, slots=True)
class Tokens:
    """Turns a text into tokens; the tokenizer is read when the first text comes.

    Attributes:
        model: how the model is called, for errors.
        tokenizer: ``owner/name@revision`` or ``local-dir:/path``; ``None`` where none is known.
        max_tokens: where longer texts are cut off; ``None`` for nowhere.
    """

    model: str
    tokenizer: str | None
    max_tokens: int | None

    def __call__(self, text: str) -> dict[str, Tensor]:
        """Gives ``input_ids`` and ``attention_mask``, both "n".

        Raises:
            ConfigError: there is no tokenizer, or it cannot be read.
        """
        if self.tokenizer is None:
            raise ConfigError(
                f"hf/{self.model} has no tokenizer for its texts; write options={{'tokenizer': "
                "'owner/name'}, 'local-dir:/path' for a folder, or give encoders= to "
                "PreparedDataset"
            )
        cut = self.max_tokens is not None
        found = _read(self.tokenizer)(
            text, truncation=cut, max_length=self.max_tokens, return_tensors="pt"
        )
        return {name: found[name][0] for name in KNOWN if name in found}


def tokenizer_of(source: Source, tokenizer: str | None) -> str | None:
    """Gives where the tokenizer of a model is, so that another process finds it too.

    Args:
        source: the model.
        tokenizer: where it was said to be; ``None`` for beside the model.
    """
    if tokenizer is not None or source.folder is None:
        return tokenizer
    if source.from_hub:
        return f"{source.name.partition('@')[0]}@{source.folder.name}"
    folder = source.folder.resolve()
    return f"{FOLDER}{folder}" if any((folder / file).is_file() for file in hub.TOKENIZER) else None


@cache
def _read(tokenizer: str) -> Any:
    from transformers import AutoTokenizer

    if tokenizer.startswith(FOLDER):
        folder = Path(tokenizer.removeprefix(FOLDER)).expanduser()
        if not folder.is_dir():
            raise ConfigError(
                f"the tokenizer's folder {folder} is not there (any more); give its new place as "
                "options={'tokenizer': 'local-dir:/path'}, or encoders= to PreparedDataset"
            )
    try:
        if not tokenizer.startswith(FOLDER):
            folder = hub.fetch_tokenizer(tokenizer)
        with quiet():
            return AutoTokenizer.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=False
            )
    except Exception as error:
        first = " ".join(str(error).split())[:300] or type(error).__name__
        raise ConfigError(
            f"the tokenizer {tokenizer} cannot be read: {first}; give another as "
            "options={'tokenizer': ...}, or encoders= to PreparedDataset"
        ) from error
