"""The answers to the two questions that fusionkit asks a plugin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import fusionkit as fk


@fk.hookimpl
def fusionkit_backbones() -> Mapping[str, Any]:
    """Gives the backbones by name; in a recipe the first is ``example/tiny``."""
    from fusionkit_example.tiny import build_tiny

    return {"tiny": build_tiny}


@fk.hookimpl
def fusionkit_heads() -> Mapping[str, Any]:
    """Gives the heads by name; in a recipe the first is ``example/average_vectors``."""
    from fusionkit_example.average import AverageVectors

    return {"average_vectors": AverageVectors}
