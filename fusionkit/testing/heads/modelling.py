"""Whether a head works where it will be: in a model, trained, saved and loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from fusionkit.assembly.compose import compose
from fusionkit.catalog import Catalog
from fusionkit.checkpoint.load import load
from fusionkit.checkpoint.save import save
from fusionkit.model.fused import FusedModel
from fusionkit.recipe.values import Branch, Head
from fusionkit.testing.check import Check, Finding, check
from fusionkit.testing.heads.companions import SIDE, companion_catalog
from fusionkit.testing.heads.each import modes
from fusionkit.testing.heads.learning import backward
from fusionkit.testing.heads.subject import HeadCase, HeadSubject, takes_logits
from fusionkit.testing.perturb import perturb
from fusionkit.testing.seed import set_seed
from fusionkit.testing.surroundings import put_back
from fusionkit.testing.words import some

__all__ = ["CHECKS"]


@check("make fusionkit.compose take the head")
def works_in_a_model(subject: HeadSubject) -> Iterator[Finding]:
    """Composed, trained for a step, saved and loaded, a model answers to the bit what it should."""
    case = subject.main
    catalog = companion_catalog(case.inputs, _with_flag(subject))
    model = _compose(case, catalog, case.inputs)
    x = torch.randn(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    reordered = _compose(case, catalog, dict(reversed(list(case.inputs.items()))))
    if not torch.equal(_answer(model, x), _answer(reordered, x)):
        yield Finding(
            "a recipe whose branches are written in another order answers otherwise",
            "go through sorted(inputs), and keep nothing between heads",
        )
    if case.build().trains:
        yield from _train_a_step(model, x)
    expected = _answer(model, x)
    with TemporaryDirectory() as folder:
        save(model, Path(folder) / "model")
        loaded = load(Path(folder) / "model", catalog=catalog)
    if not torch.equal(_answer(loaded, x), expected):
        yield Finding(
            "fusionkit.load(fusionkit.save(...)) gives a model that answers otherwise",
            "keep what is drawn or learned in parameters or persistent buffers",
        )


def _train_a_step(model: FusedModel, x: torch.Tensor) -> Iterator[Finding]:
    before = {name: value.clone() for name, value in model.head.named_parameters()}
    optimizer = torch.optim.AdamW(model.param_groups(lr=0.01, weight_decay=0.05))
    answer = model.train()(x)
    if not answer.requires_grad:
        return
    backward(answer)
    optimizer.step()
    still = [n for n, p in model.head.named_parameters() if torch.equal(p, before[n])]
    if still and len(still) == len(before):
        yield Finding(
            f"a training step moves none of {some(still)}",
            "make every parameter take part in the answer",
        )


def _with_flag(subject: HeadSubject) -> Callable[..., Any]:
    """Gives the factory with the ``takes_logits`` that ``functools.partial`` hides."""
    make: Any = partial(subject.make)
    make.takes_logits = takes_logits(subject.make)
    return make  # type: ignore[no-any-return]


def _compose(case: HeadCase, catalog: Catalog, inputs: Mapping[str, Any]) -> FusedModel:
    branches = {
        name: Branch(
            f"subject/{name}", weights=None, input="x", classifier=each.num_classes is not None
        )
        for name, each in inputs.items()
    }
    set_seed(0)
    model = compose(branches, Head("subject/it"), case.situation.num_classes, catalog=catalog)
    perturb(model)
    return model


def _answer(model: FusedModel, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        answer: torch.Tensor = model.eval()(x)
    return answer


@check("change nothing that others share")
def leaves_its_surroundings_alone(subject: HeadSubject) -> Iterator[Finding]:
    """Building and running it sets no seed and changes no setting that others share."""
    case = subject.main
    for change in subject.changes:
        yield Finding(f"it changed {change}", "leave to the user what everybody shares")
    with put_back() as notes:
        for mode in modes(case.build()):
            answer = case.build().train(mode)(case.features())
            backward(answer)
    for note in notes:
        yield Finding(f"training or running it changed {note}", "use a context manager")
    states = []
    for seed in (1, 2):
        case.build(seed)
        states.append(torch.get_rng_state())
    if torch.equal(*states) and any(True for _ in case.build().parameters()):
        yield Finding(
            "it sets torch's seed", "draw from a torch.Generator of your own where you must"
        )


CHECKS: tuple[Check[HeadSubject], ...] = (works_in_a_model, leaves_its_surroundings_alone)
