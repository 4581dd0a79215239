"""The answers to the two questions that fusionkit asks a plugin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import fusionkit as fk

fusionkit_api = 1  # the version of the questions


@fk.hookimpl
def fusionkit_backbones() -> Mapping[str, Any]:
    """Gives the backbones by name, here ``example/reversible``."""
    from fusionkit_example.backbone import build_reversible

    return {"reversible": build_reversible}


@fk.hookimpl
def fusionkit_heads() -> Mapping[str, Any]:
    """Gives the heads by name, here ``example/gated``."""
    from fusionkit_example.head import Gated

    return {"gated": Gated}
