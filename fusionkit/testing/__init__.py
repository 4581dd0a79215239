"""Says what a good backbone, head or plugin is, and whether yours is one; needs no pytest."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusionkit.testing.backbones.conformance import backbone_checks as backbone_checks
    from fusionkit.testing.backbones.conformance import check_backbone as check_backbone
    from fusionkit.testing.check import Check as Check
    from fusionkit.testing.check import Finding as Finding
    from fusionkit.testing.check import Outcome as Outcome
    from fusionkit.testing.heads.conformance import check_head as check_head
    from fusionkit.testing.heads.conformance import head_checks as head_checks
    from fusionkit.testing.plugins.conformance import check_plugin as check_plugin
    from fusionkit.testing.report import ConformanceError as ConformanceError
    from fusionkit.testing.report import Report as Report

_HOMES = {
    "Check": "fusionkit.testing.check",
    "Finding": "fusionkit.testing.check",
    "Outcome": "fusionkit.testing.check",
    "backbone_checks": "fusionkit.testing.backbones.conformance",
    "check_backbone": "fusionkit.testing.backbones.conformance",
    "check_head": "fusionkit.testing.heads.conformance",
    "head_checks": "fusionkit.testing.heads.conformance",
    "check_plugin": "fusionkit.testing.plugins.conformance",
    "ConformanceError": "fusionkit.testing.report",
    "Report": "fusionkit.testing.report",
}

__all__: list[str] = []
__all__.extend(sorted(_HOMES))


def __getattr__(name: str) -> Any:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'fusionkit.testing' has no attribute {name!r}") from None
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
