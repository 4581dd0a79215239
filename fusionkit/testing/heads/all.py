"""Everything that is asked of a head, in the order in which it is asked."""

from __future__ import annotations

from fusionkit.testing.check import Check
from fusionkit.testing.heads import (
    alone,
    building,
    compiling,
    copying,
    derivatives,
    fitting,
    layouts,
    learning,
    modelling,
    modes,
    options,
    precision,
    reaching,
    reading,
)
from fusionkit.testing.heads.subject import HeadSubject

__all__ = ["HEAD_CHECKS"]

HEAD_CHECKS: tuple[Check[HeadSubject], ...] = (
    building.builds,
    building.answers,
    reading.reads_only_what_it_declares,
    *building.CHECKS,
    *reading.CHECKS,
    *alone.CHECKS,
    *reaching.CHECKS,
    *layouts.CHECKS,
    *modes.CHECKS,
    *learning.CHECKS,
    *derivatives.CHECKS,
    *precision.CHECKS,
    *fitting.CHECKS,
    *copying.CHECKS,
    *options.CHECKS,
    *modelling.CHECKS,
    *compiling.CHECKS,
)
