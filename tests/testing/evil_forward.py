"""All backbones that break one promise of the forward pass each."""

from __future__ import annotations

import evil_batches
import evil_declared
import evil_outputs
from sound_backbone import EVILS

__all__ = ["EVILS"]

ROOMS = (evil_batches, evil_declared, evil_outputs)
"""Imported, they plant what they hold."""
