"""``Description``: what is said of a timm model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fusionkit import Level, Stage

__all__ = ["Description"]


@dataclass(frozen=True, slots=True)
class Description:
    """All that a backbone declares of its trunk.

    Attributes:
        level_indices: which of timm's intermediate maps each level is.
        pools: whether the model itself pools its features to a vector.
        unadaptable: parameters that depend on the input's channels in another way than by
            reading them along dimension 1.
        unread: see ``Backbone.unread``.
    """

    embed_dim: int
    stages: tuple[Stage, ...]
    levels: tuple[Level, ...]
    level_indices: tuple[int, ...]
    pools: bool
    fixed_size: tuple[int, int] | None
    size_multiple: int
    first_layers: tuple[str, ...]
    unadaptable: tuple[str, ...]
    dropped_keys: tuple[str, ...]
    no_weight_decay: frozenset[str]
    unread: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
