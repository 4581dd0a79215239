"""``Layout``: names and shapes of an architecture's tensors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fusionkit.assembly.weightless import build_weightless
from fusionkit.catalog import BackboneEntry
from fusionkit.errors import AssemblyError
from fusionkit.model.anatomy import trunk_of

__all__ = ["Layout", "read_layout"]


@dataclass(frozen=True, slots=True)
class Layout:
    """What a stock checkpoint of one architecture must hold, and what it may.

    Attributes:
        shapes: by name, of what the trunk needs; tied tensors by their first name.
        optional: globs of what else it may hold: a classifier, other names of tied tensors.
    """

    shapes: Mapping[str, tuple[int, ...]]
    optional: tuple[str, ...]

    @property
    def digest(self) -> str:
        """The same for trunks of the same names and shapes."""
        return hashlib.sha256(json.dumps(sorted(self.shapes.items())).encode()).hexdigest()


def read_layout(entry: BackboneEntry) -> Layout:
    """Gives an architecture's layout, from its factory's own ``layout`` or by building it.

    Raises:
        AssemblyError: it cannot be built without weights.
    """
    declared: Any = getattr(entry.factory, "layout", None)
    if declared is not None:
        try:
            shapes, optional = declared()
        except Exception as error:  # a provider's library may raise anything
            raise AssemblyError(
                f"{entry.name} does not tell its layout: {type(error).__name__}: {error}"
            ) from error
        return Layout(dict(shapes), tuple(optional))
    backbone = build_weightless(entry)
    state = trunk_of(backbone).state_dict(keep_vars=True)
    first: dict[int, str] = {}
    for name, value in state.items():
        first.setdefault(id(value), name)
    own = set(first.values())
    return Layout(
        {name: tuple(state[name].shape) for name in state if name in own},
        (*(name for name in state if name not in own), *backbone.dropped_keys),
    )
