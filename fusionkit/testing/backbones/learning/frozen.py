"""Whether a branch that is frozen as a whole stays as it was, and is silent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.autograd import backward

from fusionkit.testing.backbones.learning.first_step import require_training
from fusionkit.testing.backbones.learning.models import frozen_model
from fusionkit.testing.backbones.learning.modes import require_modes
from fusionkit.testing.backbones.learning.once import once
from fusionkit.testing.backbones.learning.places import BRANCH, backbone_of
from fusionkit.testing.backbones.learning.steps import (
    judge_answer,
    momentum,
    on_branch,
    other_mates,
    vector_of,
)
from fusionkit.testing.backbones.learning.tensors import (
    answers,
    changed,
    keep,
    plain_tensors,
    tensors_of,
)
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, NotApplicableError, check
from fusionkit.testing.words import some

__all__ = [
    "frozen_branch_is_silent",
    "frozen_branch_keeps_every_bit",
    "known_changes",
    "require_cold",
    "require_quiet",
]

NOISE = 1e-3
"""What other neighbours in a batch may change by other orders of the same sums."""

TODO = "make the frozen backbone run in a fused model that is in train mode"


@dataclass(slots=True)
class _Seen:
    """What was seen of a frozen branch while its head learned.

    Attributes:
        changed: parameters and buffers that did.
        attributes: plain tensors that did.
        drifted: what of the answer is another afterwards, though it is the same twice.
        noisy: what of the answer in train mode is not that in eval mode.
        mates: how far a sample's vector moves with its neighbours, as a part of its largest value.
        hot: frozen parameters that came to require a gradient.
    """

    changed: list[str] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)
    drifted: list[str] = field(default_factory=list)
    noisy: list[str] = field(default_factory=list)
    mates: float = 0.0
    hot: list[str] = field(default_factory=list)

    @property
    def drifts(self) -> bool:
        return bool(self.changed or self.drifted or self.hot)


@check(TODO)
def frozen_branch_keeps_every_bit(subject: BackboneSubject) -> Iterator[Finding]:
    """A frozen branch keeps every bit of its parameters, buffers and answer while others learn."""
    seen = _watch(subject)
    if seen.hot:
        yield Finding(
            f"frozen parameters require a gradient after a forward pass: {some(seen.hot)}",
            "leave requires_grad alone after __init__; what learns is said by Freeze",
        )
    if seen.changed:
        yield Finding(
            f"two training steps of the head changed {len(seen.changed)} tensors of the frozen "
            f"branch: {some(seen.changed)}",
            "change parameters nowhere but in __init__, and buffers only `if self.training`, in "
            "the module that holds them",
        )
    elif seen.drifted:
        held = f"; plain attributes that changed: {some(seen.attributes)}"
        yield Finding(
            f"after two training steps of the head the frozen branch answers otherwise: its "
            f"{some(seen.drifted)}{held if seen.attributes else ''}",
            "keep what is learned in parameters and buffers, and change buffers only "
            "`if self.training`",
        )


@check(TODO)
def frozen_branch_is_silent(subject: BackboneSubject) -> Iterator[Finding]:
    """In train mode a frozen branch gives its eval answer, whatever else is in the batch."""
    seen = _watch(subject)
    if seen.drifts:
        raise NotApplicableError("frozen_branch_keeps_every_bit says what changes")
    if seen.noisy:
        yield Finding(
            f"in a model in train mode the frozen branch does not give its eval answer: its "
            f"{some(seen.noisy)}",
            "write functional.dropout(x, p, self.training), never training=True; draw no random "
            "numbers and keep no running state unless `self.training`",
        )
    elif seen.mates > NOISE:
        yield Finding(
            f"a sample's vector changes by {seen.mates:.2g} of its largest value with the other "
            "samples in the batch, though the branch is frozen",
            "compute each sample by itself unless `self.training`: give norms running statistics, "
            "and register every module, since one in a plain list stays in train mode",
        )


def known_changes(subject: BackboneSubject) -> set[str]:
    """Gives what already changes while the whole branch is frozen, by its names in the trunk."""
    path = subject.pristine.trunk_path
    return {name.removeprefix(f"{path}.") for name in _watch(subject).changed}


def require_cold(subject: BackboneSubject) -> None:
    """Leaves a check that the model would stop, as frozen parameters come to learn."""
    if _watch(subject).hot:
        raise NotApplicableError("frozen_branch_keeps_every_bit says what learns")


def require_quiet(subject: BackboneSubject) -> None:
    """Leaves a check that could only repeat what is wrong with the branch frozen as a whole."""
    seen = _watch(subject)
    if seen.drifts:
        raise NotApplicableError("frozen_branch_keeps_every_bit says what changes")
    if seen.noisy or seen.mates > NOISE:
        raise NotApplicableError("frozen_branch_is_silent says what is wrong")


@once
def _watch(subject: BackboneSubject) -> _Seen:
    require_training(subject)
    require_modes(subject)
    model = frozen_model(subject)
    backbone = backbone_of(model)
    optimizer = momentum(model)
    x, other = subject.example(), subject.example(seed=1)
    expected = subject.answer
    before, plain = keep(tensors_of(backbone)), keep(plain_tensors(backbone))
    seen = _Seen()
    model.train()

    features = model.features(on_branch(other_mates(x, other)))
    mixed = vector_of(features).detach()
    backward(judge_answer(model.head(features)))
    seen.hot = [name for name, value in backbone.named_parameters() if value.requires_grad]
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)

    given = backbone(x, subject.reads)
    backward(judge_answer(model.head({BRANCH: given})))
    optimizer.step()
    if changed(answers(expected), answers(given)):
        # some kernels round otherwise where a parameter requires a gradient
        expected = subject.run(subject.copy().requires_grad_(False), x)
    seen.noisy = changed(answers(expected), answers(given))
    if expected.vector is not None:
        seen.mates = _apart(mixed[0], expected.vector[0])

    seen.changed = changed(before, tensors_of(backbone))
    now = plain_tensors(backbone)
    seen.attributes = [*changed(plain, now), *(name for name in now if name not in plain)]
    model.eval()
    after = answers(subject.run(backbone, x))
    seen.drifted = changed(answers(expected), after)
    if seen.drifted and changed(after, answers(subject.run(backbone, x))):
        seen.drifted = seen.drifted if _drifts(subject) else []
    return seen


def _apart(one: Tensor, other: Tensor) -> float:
    if not (torch.isfinite(one).all() and torch.isfinite(other).all()):
        return 0.0
    scale = float(other.abs().max()) or 1.0
    return float((one - other).abs().max()) / scale


def _drifts(subject: BackboneSubject) -> bool:
    """Tells an answer that moves with each pass from one that is random."""
    x = subject.example()
    fresh = [answers(subject.run(subject.copy(), x)) for _ in range(2)]
    return not changed(*fresh)
