"""Everything that is asked of a backbone, in the order in which it is asked."""

from __future__ import annotations

from fusionkit.testing.backbones import forward, keeping, learning
from fusionkit.testing.backbones.builds import builds, forward_makes_no_weights, runs
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Check

__all__ = ["BACKBONE_CHECKS"]

BACKBONE_CHECKS: tuple[Check[BackboneSubject], ...] = (
    builds,
    runs,
    forward_makes_no_weights,
    *forward.CHECKS,
    *learning.CHECKS,
    *keeping.CHECKS,
)
