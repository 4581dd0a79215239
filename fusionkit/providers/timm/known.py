"""What was found before of all models of one version of timm, as it builds them by default."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from torch import nn

from fusionkit.providers.timm.description import Description
from fusionkit.providers.timm.shelf import look_up

__all__ = ["FOLDER", "Known", "identify", "path_for", "recall"]

FOLDER = Path(__file__).with_name("descriptions")
"""Holds a file for each version of timm of which something is known."""


@dataclass(frozen=True, slots=True)
class Known:
    """A description, and the model that it is of.

    Attributes:
        model: what ``identify`` says of it.
        description: what was found, but for what is read off the model at once.
    """

    model: str
    description: Description


def recall(
    name: str, size: tuple[int, int], keeps_classifier: bool, has_classifier: bool
) -> Known | None:
    """Gives what is known of an architecture as timm builds it by default, for three channels.

    It is known for one version of timm, and of a model for the size for which it is meant.

    Args:
        name: the architecture.
        size: height and width in pixels for which the model is meant.
        keeps_classifier: whether it has its stock classifier.
        has_classifier: whether its weights come with one.
    """
    import timm

    found = look_up(_read(path_for(timm.__version__)), name, size, keeps_classifier, has_classifier)
    return None if found is None else Known(*found)


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
