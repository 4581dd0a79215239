"""A branch that thaws stage by stage, learns, freezes again; and what was seen of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import torch
from torch import nn
from torch.autograd import backward

from fusionkit.model.anatomy import trunk_of
from fusionkit.model.fused import FusedModel
from fusionkit.model.part import Part
from fusionkit.testing.backbones.learning.echo import Heard, listen, strange
from fusionkit.testing.backbones.learning.first_step import (
    first_step,
    require_training,
    without_gradient,
)
from fusionkit.testing.backbones.learning.frozen import known_changes, require_cold
from fusionkit.testing.backbones.learning.models import frozen_model, last_epoch
from fusionkit.testing.backbones.learning.once import once
from fusionkit.testing.backbones.learning.places import BRANCH, Place, backbone_of, places_of
from fusionkit.testing.backbones.learning.steps import (
    DECAY,
    RATE,
    loss_of,
    momentum,
    suffixes,
)
from fusionkit.testing.backbones.learning.tensors import changed, keep, tensors_of
from fusionkit.testing.backbones.learning.verdicts import (
    tell_again,
    tell_missing,
    tell_moved,
    tell_passes,
    tell_strange,
    tell_thawed,
)
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, NotApplicableError, describe_error

__all__ = ["Rehearsal", "rehearse"]

Act: TypeAlias = Literal["suffixes", "thawed", "again"]

TODO = "make forward work in train mode whichever of its last stages learn, again and again"
ACTS: tuple[Act, ...] = ("suffixes", "thawed", "again")


@dataclass(slots=True)
class Rehearsal:
    """What was seen, as findings for the checks that tell it.

    Attributes:
        bits: frozen parameters and buffers that changed.
        echo: frozen stages that computed something else than before.
        gradients: what learns under a policy and got no gradient.
        thawed: what thawing did not restore.
        again: what moved after it was frozen again.
        stopped: the act in which an error ended it, and the error.
    """

    bits: list[Finding] = field(default_factory=list)
    echo: list[Finding] = field(default_factory=list)
    gradients: list[Finding] = field(default_factory=list)
    thawed: list[Finding] = field(default_factory=list)
    again: list[Finding] = field(default_factory=list)
    stopped: tuple[Act, str] | None = None

    def tell(self, act: Act, findings: list[Finding]) -> Iterator[Finding]:
        """Gives the findings of an act, and what stopped it.

        Raises:
            NotApplicableError: it was stopped before.
        """
        yield from findings
        if self.stopped is None:
            return
        when, error = self.stopped
        if when == act:
            yield Finding(error, TODO)
        if ACTS.index(when) < ACTS.index(act):
            raise NotApplicableError(f"it failed before: {error:.100}")


@once
def rehearse(subject: BackboneSubject) -> Rehearsal:
    """Gives what was seen of a branch while all its suffixes learned one after the other.

    One optimizer step each, for every suffix or eight of them; then one more pass of what has
    thawed, and two of what is frozen again.
    """
    require_training(subject)
    require_cold(subject)
    told = Rehearsal()
    act: Act = "suffixes"
    try:
        learner = _Learner(subject)
        learner.thaw_by_and_by(told)
        act = "thawed"
        learner.look_at_what_thawed(told)
        act = "again"
        learner.freeze_again(told)
    except Exception as error:  # a stranger's code raises what it likes; the checks tell it
        told.stopped = act, describe_error(error)
    return told


class _Learner:
    """The model and optimizer of one rehearsal."""

    def __init__(self, subject: BackboneSubject) -> None:
        self.model: FusedModel = frozen_model(subject)
        self.part: Part = self.model.parts[BRANCH]
        self.trunk: nn.Module = trunk_of(backbone_of(self.model))
        self.places: list[Place] = places_of(self.model)
        self.optimizer = momentum(self.model)
        self.x = subject.example()
        self.start = keep(tensors_of(self.trunk))
        self.known = known_changes(subject)
        first = first_step(subject)
        self.moves = not (first.replaced or first.dead or first.unmoved)
        self.declared = {
            name: value.requires_grad
            for name, value in trunk_of(subject.pristine).named_parameters()
        }
        self.last = last_epoch(self.model)

    def thaw_by_and_by(self, told: Rehearsal) -> None:
        reference: Heard = {}
        for count in (0, *suffixes(self.last)):
            self.model.train().set_epoch(count)
            learning = self.part.learning(count)
            awake = self.awake(learning)
            with listen(self.places, awake) as heard:
                backward(loss_of(self.model, self.x))
            when = f"with {count} of {self.last} stages learning"
            missing = self.without_gradient(learning) if count < self.last else []
            if missing and not told.gradients:
                told.gradients.append(tell_missing(missing, when))
            self.optimizer.step()
            self.optimizer.zero_grad()
            frozen = self.frozen(awake)
            before = {name: value for name, value in self.start.items() if name in frozen}
            moved = set(changed(before, tensors_of(self.trunk))) - self.known
            if moved:
                self.known |= moved
                told.bits.append(tell_moved(sorted(moved), when))
            reference = reference or heard
            if not told.echo and (paths := strange(reference, heard)):
                homeless = [place.path for place in self.places if place.is_homeless_noise]
                told.echo.append(tell_strange(paths, when, homeless, self.lone(learning)))

    def look_at_what_thawed(self, told: Rehearsal) -> None:
        learning = self.part.learning(self.last)
        wanted = {name: flag and name in learning for name, flag in self.declared.items()}
        flags = {name: value.requires_grad for name, value in self.trunk.named_parameters()}
        told.thawed += tell_thawed(
            wrong=[name for name in wanted if flags.get(name) is not wanted[name]],
            fixed=changed(
                {n: self.start[n] for n in wanted if not wanted[n] and n not in self.known},
                tensors_of(self.trunk),
            ),
            idle=self.unmoved_stages(learning) if self.moves else [],
            silent=self.silent_modules(learning),
        )
        self.start.clear()
        before = keep(dict(self.trunk.named_parameters()))
        backward(loss_of(self.model, self.x))
        moved = changed(before, dict(self.trunk.named_parameters()))
        told.thawed += tell_passes([name for name in moved if name not in self.known])

    def freeze_again(self, told: Rehearsal) -> None:
        other = torch.optim.AdamW(self.model.param_groups(lr=RATE, weight_decay=DECAY))
        for optimizer in (self.optimizer, other):
            optimizer.step()
        self.model.set_epoch(0)
        before = keep(tensors_of(self.trunk))
        for optimizer in (self.optimizer, other):
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)
        for _ in range(2):
            backward(loss_of(self.model, self.x))
        for optimizer in (self.optimizer, other):
            optimizer.step()
        moved = changed(before, tensors_of(self.trunk))
        told.again += tell_again([name for name in moved if name not in self.known])

    def awake(self, learning: frozenset[str]) -> frozenset[int]:
        return frozenset(slot.stage for slot in self.part.anatomy.slots if slot.name in learning)

    def lone(self, learning: frozenset[str]) -> list[str]:
        """Gives the parameters that learn, of modules that hold other stages too."""
        shared = {place.path for place in self.places if len(place.stages) > 1}
        return [name for name in sorted(learning) if name.rpartition(".")[0] in shared]

    def frozen(self, awake: frozenset[int]) -> set[str]:
        """Gives the names of the parameters of frozen stages, and of frozen modules' buffers."""
        stage_of = {slot.name: slot.stage for slot in self.part.anatomy.slots}
        canonical = {id(value): name for name, value in self.trunk.named_parameters()}
        frozen = {
            name
            for name, value in self.trunk.named_parameters(remove_duplicate=False)
            if stage_of[canonical[id(value)]] not in awake
        }
        for place in self.places:
            if place.is_frozen(awake):
                own = place.module.named_buffers(place.path, recurse=False, remove_duplicate=False)
                frozen |= {name for name, _ in own}
        return frozen

    def without_gradient(self, learning: frozenset[str]) -> list[str]:
        named = dict(self.trunk.named_parameters())
        missing = {name for name in learning if named[name].grad is None}
        return without_gradient(self.model, self.x, missing)

    def unmoved_stages(self, learning: frozenset[str]) -> list[str]:
        """Gives the stages of which no parameter moved, though weight decay alone would do it."""
        now = dict(self.trunk.named_parameters())
        slots = [slot for slot in self.part.anatomy.slots if slot.name in learning and slot.decays]
        moved = set(changed({s.name: self.start[s.name] for s in slots}, now))
        stages = {slot.stage for slot in slots}
        awake = {slot.stage for slot in slots if slot.name in moved}
        return [self.part.anatomy.stages[index] for index in sorted(stages - awake)]

    def silent_modules(self, learning: frozenset[str]) -> list[str]:
        """Gives the dropouts and such, inside of what learns, that are not in train mode."""
        whole = [place.path for place in self.places if place.learns(learning)]
        return [
            place.path
            for place in self.places
            if not place.parameters
            and not place.module.training
            and any(place.path.startswith(f"{path}.") for path in whole if path)
        ]
