"""Whether a run that was broken off goes on to the same bits."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from io import BytesIO
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd import backward

from fusionkit.assembly.compose import compose
from fusionkit.model.fused import FusedModel
from fusionkit.recipe.values import Branch, Head
from fusionkit.testing.backbones.keeping.another import build_anew
from fusionkit.testing.backbones.keeping.answers import empty_out
from fusionkit.testing.backbones.learning import steps
from fusionkit.testing.backbones.learning.first_step import require_training
from fusionkit.testing.backbones.learning.frozen import require_quiet
from fusionkit.testing.backbones.learning.models import learning_model
from fusionkit.testing.backbones.learning.places import BRANCH
from fusionkit.testing.backbones.learning.tensors import answers, changed, keep, same_bits
from fusionkit.testing.backbones.offer import Offer
from fusionkit.testing.backbones.subject import CLASSES, BackboneSubject
from fusionkit.testing.check import Finding, NotApplicableError, check
from fusionkit.testing.seed import set_seed
from fusionkit.testing.words import some

__all__ = ["resumed_training_goes_on"]

LENGTH = 4

TODO = (
    "keep what decides on training in parameters, buffers that are saved, or torch's, numpy's and "
    "Python's own random generators: no plain attribute, counter or generator of its own"
)

Saved: TypeAlias = tuple[BytesIO, list[tuple[Callable[[Any], Any], Any]]]


@check("make the backbone build twice, and its state_dict load into the second")
def resumed_training_goes_on(subject: BackboneSubject) -> Iterator[Finding]:
    """Two steps give the same bits as one step, a fresh build from its saved state, and another.

    In train mode; saved are the states of model, optimizer, schedule and random generators.
    """
    require_training(subject)
    if findings := list(_compare(subject)):
        require_quiet(subject)
        _require_own_copies(subject)
        yield from findings


def _require_own_copies(subject: BackboneSubject) -> None:
    """Leaves a run that was begun by a copy, if copies compute with what they were made of."""
    original = build_anew(subject)  # a copy would hold on to what is not to be emptied
    original.load_state_dict(subject.pristine.state_dict())
    twin = deepcopy(original)
    empty_out(original)
    if changed(answers(subject.answer), answers(subject.run(twin, subject.example()))):
        raise NotApplicableError("deepcopy_is_independent says what is wrong")


def _compare(subject: BackboneSubject) -> Iterator[Finding]:
    x, y = subject.example(), subject.example(seed=1)
    run = _Run(learning_model(subject))
    run.evaluate(x)
    run.step(x)
    saved = run.save()
    loss = run.step(y)
    went_on, rates = keep(run.model.state_dict()), run.rates
    answer = run.evaluate(x)
    del run
    set_seed(1)
    resumed = _Run(_compose_fresh(subject))
    resumed.load(saved)
    again = resumed.step(y)
    if not same_bits(again, loss):
        yield Finding(
            f"the step after resuming has the loss {float(again)!r} instead of {float(loss)!r}, "
            "so that something that forward depends on is not in state_dict",
            TODO,
        )
    elif differ := changed(went_on, resumed.model.state_dict()):
        yield Finding(
            f"the step after resuming gives {len(differ)} other tensors: {some(differ)}", TODO
        )
    elif not same_bits(answer, resumed.evaluate(x)):
        yield Finding(
            "after training its eval answer is not that of a fresh build with the same state, so "
            "that something is kept from before",
            "compute in eval mode from the parameters as they are now; drop what is cached in "
            "train(mode)",
        )
    if resumed.rates != rates:
        yield Finding(f"the rates after resuming are {resumed.rates} instead of {rates}", TODO)


class _Run:
    """A model in training, and all that its next step depends on."""

    def __init__(self, model: FusedModel) -> None:
        self.model = model.train()
        self.optimizer = steps.momentum(model)
        self.scheduler = model.lr_scheduler(self.optimizer, "cosine", total_steps=LENGTH)

    @property
    def rates(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def step(self, x: Any) -> Tensor:
        """Gives the loss of one step."""
        loss = steps.loss_of(self.model, x)
        backward(loss)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.scheduler.step()
        return loss.detach()

    def evaluate(self, x: Any) -> Tensor:
        """Gives the vector in eval mode, and goes back to train mode."""
        with torch.no_grad():
            vector = self.model.eval().embed(steps.on_branch(x))[BRANCH]
        self.model.train()
        return vector

    def save(self) -> Saved:
        """Gives a file of tensors, numbers and texts, and the states of other generators."""
        file = BytesIO()
        torch.save(
            {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scheduler": self.scheduler.state_dict(),
                "torch": torch.get_rng_state(),
            },
            file,
        )
        file.seek(0)
        return file, [(give, take()) for take, give in _generators()]

    def load(self, saved: Saved) -> None:
        """Goes on from what was saved."""
        file, others = saved
        state = torch.load(file, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        torch.set_rng_state(state["torch"])
        for give, value in others:
            give(value)


def _generators() -> list[tuple[Callable[[], Any], Callable[[Any], Any]]]:
    """Gives how to take and to give back the state of Python's and numpy's random generators."""
    pairs: list[tuple[Callable[[], Any], Callable[[Any], Any]]] = [
        (random.getstate, random.setstate)
    ]
    if (numpy := sys.modules.get("numpy")) is not None:
        pairs.append((numpy.random.get_state, numpy.random.set_state))
    return pairs


def _compose_fresh(subject: BackboneSubject) -> FusedModel:
    """Gives a fused model of a backbone that the factory has just built, with other numbers."""
    branch = Branch("fresh/it", weights=None, in_channels=subject.in_channels)
    catalog = subject.catalog.with_plugin("fresh", Offer(subject.build))
    return compose({BRANCH: branch}, Head("subject/linear"), CLASSES, catalog=catalog)
