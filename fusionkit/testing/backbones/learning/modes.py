"""Whether train and eval mode go where the policies send them."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from fusionkit.model.anatomy import trunk_of
from fusionkit.model.fused import FusedModel
from fusionkit.testing.backbones.learning.models import frozen_model
from fusionkit.testing.backbones.learning.once import once
from fusionkit.testing.backbones.learning.places import BRANCH, backbone_of, places_of
from fusionkit.testing.backbones.learning.steps import suffixes
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, NotApplicableError, check
from fusionkit.testing.words import some

__all__ = ["modes_follow_the_policy", "require_modes"]

KEEP_SUPER = (
    "let train(mode) hand its argument to super().train(mode) and change no mode otherwise, or "
    "leave it out"
)


@check(KEEP_SUPER)
def modes_follow_the_policy(subject: BackboneSubject) -> Iterator[Finding]:
    """Under ``train()`` what learns is in train mode and what is frozen in eval mode.

    Under ``eval()`` everything is in eval mode. Seen without running it, for every suffix of
    stages, or eight of them.
    """
    yield from _observe(subject)


def require_modes(subject: BackboneSubject) -> None:
    """Leaves a check that could only repeat what is wrong with the modes."""
    if _observe(subject):
        raise NotApplicableError("modes_follow_the_policy says what is wrong")


@once
def _observe(subject: BackboneSubject) -> list[Finding]:
    model = frozen_model(subject)
    findings = _returned(backbone_of(model))
    stages = model.parts[BRANCH].reach.stages
    hot: dict[str, str] = {}
    still_trains: dict[str, str] = {}
    still_rests: dict[str, str] = {}
    for count in (0, *suffixes(len(stages))):
        model.train().set_epoch(count)
        when = f"with {count} of {len(stages)} stages learning"
        frozen, awake = _wrong(model, count)
        for path in _hot(model, count):
            hot.setdefault(path, when)
        for path in frozen:
            still_trains.setdefault(path, when)
        for path in awake:
            still_rests.setdefault(path, when)
    rest = [path or "the trunk" for path, module in _modules(model.eval()) if module.training]
    for wrong, mode in ((still_trains, "train"), (still_rests, "eval")):
        if wrong:
            first = next(iter(wrong.values()))
            kind = "frozen" if mode == "train" else "what learns"
            findings.append(
                Finding(
                    f"after model.train() {len(wrong)} modules that are {kind} are in {mode} "
                    f"mode: {some(path or 'the trunk' for path in wrong)} ({first})",
                    KEEP_SUPER,
                )
            )
    if hot:
        findings.append(
            Finding(
                f"after model.train() requires_grad of {len(hot)} parameters is not what the "
                f"policy says: {some(hot)} ({next(iter(hot.values()))})",
                "set requires_grad in __init__ only, not in train()",
            )
        )
    if rest:
        findings.append(
            Finding(f"after model.eval() {some(rest)} are still in train mode", KEEP_SUPER)
        )
    return findings


def _returned(backbone: nn.Module) -> list[Finding]:
    returned: object = backbone.train()
    if returned is backbone:
        return []
    return [Finding(f"train() returned {type(returned).__name__}", "end train() by `return self`")]


def _wrong(model: FusedModel, epoch: int) -> tuple[list[str], list[str]]:
    """Gives the frozen modules that train, and the learning ones that do not."""
    part = model.parts[BRANCH]
    learning = part.learning(epoch)
    awake = frozenset(slot.stage for slot in part.anatomy.slots if slot.name in learning)
    places = places_of(model)
    frozen = [each.path for each in places if each.is_frozen(awake) and each.module.training]
    rests = [each.path for each in places if each.learns(learning) and not each.module.training]
    return frozen, rests


def _hot(model: FusedModel, epoch: int) -> list[str]:
    """Gives the parameters that train() let learn, or kept from learning."""
    learning = model.parts[BRANCH].learning(epoch)
    named = trunk_of(backbone_of(model)).named_parameters()
    return [name for name, value in named if value.requires_grad != (name in learning)]


def _modules(model: FusedModel) -> Iterator[tuple[str, nn.Module]]:
    return iter(backbone_of(model).named_modules())
