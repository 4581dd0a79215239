"""What is asked of a backbone about what it declares, and what comes out."""

from __future__ import annotations

from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Check

__all__ = ["CHECKS"]

CHECKS: tuple[Check[BackboneSubject], ...] = ()
