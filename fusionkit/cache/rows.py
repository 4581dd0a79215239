"""One sample's features as a row: under which key, and as which tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b

import torch
from torch import Tensor

from fusionkit.errors import CacheError
from fusionkit.features import Features

__all__ = ["KEY_BYTES", "flatten", "nbytes", "restore", "row_key", "store_as"]

KEY_BYTES = 16


def row_key(sample: str, content: str, view: str = "") -> bytes:
    """Gives the key of one sample's row, the same in every process.

    A position in a list is no part of it, so that a file that comes or goes shifts no row.

    Args:
        sample: its stable id.
        content: changes when the sample's data change.
        view: which augmentation was applied; empty for none.
    """
    digest = blake2b(digest_size=KEY_BYTES)
    for part in (sample, content, view):
        raw = part.encode("utf-8", "surrogateescape")
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.digest()


def flatten(features: Features) -> dict[str, Tensor]:
    """Gives the tensors of features by name, "b ..."; those that are absent are left out."""
    named = {"vector": features.vector, "logits": features.logits}
    named.update({f"maps.{index}": value for index, value in enumerate(features.maps)})
    return {name: value.detach() for name, value in named.items() if value is not None}


def restore(tensors: Mapping[str, Tensor]) -> Features:
    """Gives the features whose tensors ``flatten`` gave."""
    levels = sum(name.startswith("maps.") for name in tensors)
    maps = tuple(tensors[f"maps.{index}"] for index in range(levels))
    return Features(tensors.get("vector"), maps, tensors.get("logits"))


def nbytes(tensors: Iterable[Tensor]) -> int:
    """Gives how many bytes the values of tensors take."""
    return sum(value.nbytes for value in tensors)


def store_as(tensors: Mapping[str, Tensor], dtype: torch.dtype | None) -> dict[str, Tensor]:
    """Gives the tensors on the CPU, floating-point ones in the type that is kept.

    Args:
        tensors: by name.
        dtype: what is kept; ``None`` keeps the type that was computed.

    Raises:
        CacheError: a finite value is too large for the type.
    """
    stored: dict[str, Tensor] = {}
    for name, value in tensors.items():
        kept = value.cpu()
        if dtype is not None and kept.is_floating_point() and kept.dtype != dtype:
            narrow = kept.to(dtype)
            if bool((narrow.isinf() & kept.isfinite()).any()):
                raise CacheError(
                    f"{name!r} has values up to {float(kept.abs().max()):.3g}, too large for "
                    f"{dtype}; keep features as torch.bfloat16 or torch.float32"
                )
            kept = narrow
        stored[name] = kept.contiguous()
    return stored
