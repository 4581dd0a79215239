"""Leaves checks that compare answers where no two answers are alike."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from fusionkit.testing.backbones.forward.compare import differences
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import NotApplicableError

__all__ = ["require_steady"]

_STEADY: WeakKeyDictionary[BackboneSubject, bool] = WeakKeyDictionary()


def require_steady(subject: BackboneSubject) -> None:
    """Leaves a check if the same question has another answer each time.

    Raises:
        NotApplicableError: ``eval_is_deterministic`` says what is wrong.
    """
    if subject not in _STEADY:
        again = subject.run(subject.copy(), subject.example())
        _STEADY[subject] = not any(differences(again, subject.answer, subject.reads))
    if not _STEADY[subject]:
        raise NotApplicableError("eval_is_deterministic says what is wrong")
