"""Whether a branch can thaw stage by stage, and freeze again."""

from __future__ import annotations

from collections.abc import Iterator

from fusionkit.testing.backbones.learning.frozen import require_quiet
from fusionkit.testing.backbones.learning.rehearsal import rehearse
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, NotApplicableError, check

__all__ = [
    "every_suffix_keeps_its_frozen_part",
    "freezing_again_holds",
    "frozen_stages_compute_the_same",
    "thawing_restores",
]

TODO = "make forward work in train mode whichever of its last stages learn"


@check(TODO)
def every_suffix_keeps_its_frozen_part(subject: BackboneSubject) -> Iterator[Finding]:
    """A step that trains the last stages leaves every bit of the stages before them.

    Asked of every suffix of stages, one after the other; of more than eight, of eight, evenly,
    the shortest and the whole among them.
    """
    told = rehearse(subject)
    yield from told.tell("suffixes", told.bits)


@check(TODO)
def frozen_stages_compute_the_same(subject: BackboneSubject) -> Iterator[Finding]:
    """What frozen stages hand on does not depend on whether later stages learn.

    No noise, no moving statistics, to the bit, in train mode.
    """
    require_quiet(subject)
    told = rehearse(subject)
    if told.bits:
        raise NotApplicableError("every_suffix_keeps_its_frozen_part says what changes")
    if told.stopped is not None and told.stopped[0] == "suffixes":
        raise NotApplicableError("every_suffix_keeps_its_frozen_part says what is wrong")
    yield from told.echo


@check("make forward work in train mode with all stages learning, after some were frozen")
def thawing_restores(subject: BackboneSubject) -> Iterator[Finding]:
    """Thawing gives back requires_grad as it was declared, and modes, and what thawed moves.

    And it moves by the optimizer's steps only.
    """
    told = rehearse(subject)
    yield from told.tell("thawed", told.thawed)


@check("make forward work after what had learned is frozen again")
def freezing_again_holds(subject: BackboneSubject) -> Iterator[Finding]:
    """What is frozen after it learned stays, whatever gradients and momentum are left over."""
    told = rehearse(subject)
    yield from told.tell("again", told.again)
