"""What is asked of a backbone about freezing, thawing and training."""

from __future__ import annotations

from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Check

__all__ = ["CHECKS"]

CHECKS: tuple[Check[BackboneSubject], ...] = ()
