"""Every failure that is known, with its cause; one that passes after all is a failure itself."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from fusionkit.testing.sweep.row import Mode

__all__ = ["KNOWN", "Known", "known_failures"]

BOTH: tuple[Mode, ...] = ("full", "meta")


@dataclass(frozen=True, slots=True)
class Known:
    """A check that some models fail.

    Attributes:
        models: a glob over ``provider/name``.
        check: its name.
        cause: why, in words for the page.
        modes: in which of the two it fails.
    """

    models: str
    check: str
    cause: str
    modes: tuple[Mode, ...] = BOTH


CONVIT = "timm fills a buffer that is not saved, of patch positions, in the first forward pass"

KNOWN: tuple[Known, ...] = (
    Known("timm/convit_*", "eval_has_no_side_effects", CONVIT, ("full",)),
    Known("timm/convit_*", "frozen_branch_keeps_every_bit", CONVIT, ("full",)),
    Known(
        "timm/gemma4_vit_*",
        "runs",
        "timm reads values to give its maps, and there are none on the meta device",
        ("meta",),
    ),
    Known(
        "timm/mobilevitv2_*",
        "levels_are_as_declared",
        "its last maps have even sides, so one more where a multiple of 32 pixels is odd",
    ),
    Known(
        "timm/mobilenetv4_hybrid_*",
        "branches_keep_to_themselves",
        "with random weights timm's own attention blocks let values vanish, to 1e-16 in the last "
        "map, so that no answer depends on the input",
        ("full",),
    ),
)


def known_failures(model: str, mode: Mode) -> dict[str, str]:
    """Gives the causes of a model's known failures by the name of the check."""
    return {
        known.check: known.cause
        for known in KNOWN
        if mode in known.modes and fnmatchcase(model, known.models)
    }
