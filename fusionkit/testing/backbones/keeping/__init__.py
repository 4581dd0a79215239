"""What is asked of a backbone about copies, files, compilers, and what it leaves behind."""

from __future__ import annotations

from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Check

__all__ = ["CHECKS"]

CHECKS: tuple[Check[BackboneSubject], ...] = ()
