"""A second backbone of the same factory, used, that several checks share."""

from __future__ import annotations

from fusionkit.backbone.contract import Backbone
from fusionkit.testing.backbones.keeping.answers import exercise
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import NotApplicableError
from fusionkit.testing.seed import draws_otherwise

__all__ = ["another", "build_anew"]

SAME = "the factory gives the same backbone at each call"

SEED = 4321


def another(subject: BackboneSubject) -> Backbone:
    """Gives a backbone that was built, not copied, with other values than the subject's.

    It has been trained and run in eval mode, after the subject gave its answer. Who asks may do
    with it what it likes; the next may get it as it was left.
    """
    if subject.spare is None:
        assert subject.answer is not None
        with draws_otherwise(SEED):
            subject.spare = build_anew(subject)
        exercise(subject, subject.spare)
    return subject.spare


def build_anew(subject: BackboneSubject) -> Backbone:
    """Gives what a further call of the factory does, in eval mode.

    Raises:
        NotApplicableError: it is the same backbone, which is not to be touched.
    """
    built: Backbone = subject.build()
    if built is subject.pristine:
        raise NotApplicableError(SAME)
    built.eval()
    return built
