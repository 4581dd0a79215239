"""Everything that the features of a frozen branch depend on, besides the sample."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version

import torch

from fusionkit.backbone.contract import Backbone
from fusionkit.cache.weights import Weights
from fusionkit.model.fused import FusedModel
from fusionkit.tensors.dtypes import NAMES

__all__ = ["FORMAT", "branch_key", "digest_of"]

FORMAT = 1
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
LIBRARIES = ("torch-fusionkit", "torch", "torchvision", "pillow")
"""Whose versions change what is computed of the same file by a little."""


def branch_key(
    model: FusedModel,
    branch: str,
    *,
    preparation: str,
    weights: Weights,
    autocast: torch.dtype | None,
    device: torch.device,
    dtype: torch.dtype | None,
) -> dict[str, object]:
    """Gives what the features depend on, as plain data; what differs has a folder of its own.

    Args:
        model: whose branch it is.
        branch: its name.
        preparation: how a sample becomes the branch's input, in words that change with it.
        weights: takes the checksum.
        autocast: the type that operations are cast to, if they are.
        device: on which the branch runs; each kind rounds in its own way.
        dtype: what features are kept in; ``None`` for what was computed.

    Raises:
        CacheError: a tensor of the branch has no values that could be read.
    """
    part, backbone = model.parts[branch], model.branches[branch]
    assert isinstance(backbone, Backbone)
    inside = model.prepare[branch] if branch in model.prepare else None  # noqa: SIM401
    structure = ADDRESS.sub("", repr(backbone))
    return {
        "format": FORMAT,
        "backbone": part.branch.backbone,
        "type": f"{type(backbone).__module__}.{type(backbone).__qualname__}",
        "options": json.loads(json.dumps(dict(part.branch.options), default=str)),
        "in_channels": part.branch.in_channels,
        "from": model.provenance.get(branch, ""),
        "structure": hashlib.sha256(structure.encode()).hexdigest(),
        "weights": weights.checksum(backbone),
        "reads": {**asdict(part.reads), "maps": list(part.reads.levels)},
        "inside": None if inside is None else repr(inside.preprocessing),
        "preparation": preparation,
        "autocast": None if autocast is None else NAMES[autocast],
        "kept": None if dtype is None else NAMES[dtype],
        "device": device.type,
        "libraries": {name: _version(name) for name in LIBRARIES},
    }


def digest_of(key: Mapping[str, object]) -> str:
    """Gives the name of the folder in which rows of a key lie."""
    text = json.dumps(key, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _version(library: str) -> str:
    """Gives the release of a library, without its patch level."""
    try:
        return ".".join(version(library).split(".")[:2])
    except PackageNotFoundError:
        return ""
