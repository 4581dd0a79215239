"""What was found before of all models of one version of timm, as it builds them by default."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from torch import nn

from fusionkit.providers.timm.shelf import Known, Way, look_up

__all__ = ["FOLDER", "identify", "path_for", "recall"]

FOLDER = Path(__file__).with_name("descriptions")
"""Holds a file for each version of timm of which something is known."""


def recall(way: Way) -> Known | None:
    """Gives what is known of a model that the installed timm builds for three channels."""
    import timm

    return look_up(_read(path_for(timm.__version__)), way)


def path_for(version: str) -> Path:
    """Gives the file for a version of timm, which need not be there."""
    return FOLDER / f"{version}.txt"


def identify(model: nn.Module) -> str:
    """Gives the class of a model, and a digest of names and shapes of its tensors."""
    tensors = (*model.named_parameters(), *model.named_buffers())
    text = "\n".join(f"{name} {tuple(value.shape)}" for name, value in tensors)
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    return f"{kind} {hashlib.sha256(text.encode()).hexdigest()[:16]}"


@cache
def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
