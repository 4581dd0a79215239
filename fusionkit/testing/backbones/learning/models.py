"""Fused models of a subject: composed once, and copied for each that asks."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from fusionkit.errors import FusionKitError
from fusionkit.model.fused import FusedModel
from fusionkit.policy.freeze import Freeze
from fusionkit.testing.backbones.learning.once import once
from fusionkit.testing.backbones.learning.places import BRANCH
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import NotApplicableError

__all__ = [
    "compose",
    "composed",
    "frozen_model",
    "last_epoch",
    "learning_model",
    "require_composed",
]

SAYS = "composes says why it cannot be composed"


def compose(subject: BackboneSubject, **settings: Any) -> FusedModel:
    """Gives ``subject.compose(...)``, or leaves the check to the one that says why it fails."""
    try:
        return subject.compose(**settings)
    except FusionKitError as error:
        raise NotApplicableError(SAYS) from error


def require_composed(subject: BackboneSubject) -> None:
    """Leaves a check that needs a fused model, where there can be none."""
    try:
        composed(subject)
    except Exception as error:  # of whatever kind, it is told by that check
        raise NotApplicableError(SAYS) from error


def frozen_model(subject: BackboneSubject) -> FusedModel:
    """Gives a model of one branch of which nothing learns, and at each epoch one more stage.

    Composing measures the backbone, which costs more than a copy.
    """
    require_composed(subject)
    model = composed(subject)
    return _twin(model) or compose(subject, freeze=Freeze.gradual(start=1))


def learning_model(subject: BackboneSubject) -> FusedModel:
    """Gives a model of one branch of which everything learns.

    Raises:
        FusionKitError: it cannot be composed.
    """
    model = _twin(composed(subject)) or subject.compose(freeze=Freeze.gradual(start=1))
    return model.set_epoch(last_epoch(model))


def last_epoch(model: FusedModel) -> int:
    """Gives the epoch from which on everything learns: as many as there are stages that can."""
    return len(model.parts[BRANCH].reach.stages)


@once
def composed(subject: BackboneSubject) -> FusedModel:
    """Gives a model of one branch that is not to be changed: what thaws by epochs, as composed.

    Raises:
        FusionKitError: it cannot be composed.
    """
    return subject.compose(freeze=Freeze.gradual(start=1))


def _twin(model: FusedModel) -> FusedModel | None:
    """Gives a copy of a model, or nothing where copies of its backbone are not sound."""
    try:
        twin = deepcopy(model)
    except Exception:  # a check of copies tells; here another way is taken
        return None
    mine, theirs = (
        {id(value) for value in each.state_dict(keep_vars=True).values()} for each in (model, twin)
    )
    return None if mine & theirs else twin
