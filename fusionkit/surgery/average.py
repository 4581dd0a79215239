"""Averages models of one architecture: a model soup (arXiv:2203.05482)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from copy import deepcopy
from os import PathLike
from typing import TypeAlias

import torch
from torch import Tensor, nn

from fusionkit.catalog import Catalog
from fusionkit.checkpoint.load import load
from fusionkit.errors import CheckpointError, ConfigError
from fusionkit.model.fused import FusedModel
from fusionkit.numbers import is_number
from fusionkit.surgery.alike import check_alike
from fusionkit.surgery.subject import check_model, check_unchanged
from fusionkit.tensors.match import load_tensors
from fusionkit.tensors.state import nonfinite_problem, state_of

__all__ = ["Model", "average", "check_listed"]

Model: TypeAlias = "FusedModel | str | PathLike[str]"

COUNTER = "num_batches_tracked"


def average(
    models: Sequence[Model],
    weights: Sequence[float] | None = None,
    *,
    catalog: Catalog | None = None,
) -> FusedModel:
    """Gives one model whose parameters are the mean of several models' (arXiv:2203.05482).

    The models must be of one architecture, and fine-tuned from the same weights, or else the
    mean is worth nothing. How they were trained, their policies, may differ; the average has the
    first one's, and its epoch. Folders are loaded one after another, so that two models and the
    sum are held at most.

    Buffers with fractions, such as the running statistics of norms, are averaged too; they are
    not the statistics of the averaged parameters, and ``update_norms`` takes them anew. Whole
    numbers must be equal, but for ``num_batches_tracked``, of which the largest is taken. What is
    equal in all models, as frozen parts are, stays bit for bit.

    Args:
        models: as ``compose`` or ``load`` gave them, or the folders that ``save`` wrote.
        weights: of each model, 0 or more; by default all the same.
        catalog: where the names of saved models are looked up; by default all installed plugins.

    Returns:
        A new model in eval mode, which shares no memory with any of them.

    Raises:
        ConfigError: there is no model, or a weight is wrong.
        CheckpointError: a folder cannot be loaded, or models differ in more than their values.
    """
    check_listed("average", models)
    given = _weights(models, weights)
    mean: FusedModel | None = None
    shifts: dict[str, Tensor] = {}
    for title, weight, model in _fetch_each(models, given, catalog):
        if mean is None:
            mean = model if model is not models[0] else deepcopy(model)
            first = {name: value.detach() for name, value in state_of(mean).items()}
            _check_finite(mean, title)
            continue
        check_alike(mean, model, title)
        _check_finite(model, title)
        _add(shifts, first, state_of(model), weight / sum(given), title)
    assert mean is not None
    load_tensors(mean, {n: _shifted(first[n], shifts.get(n)) for n in first}, "the average")
    return mean.eval()


def check_listed(what: str, models: object) -> None:
    """Refuses what is no list of models.

    Raises:
        ConfigError: it is empty or something else.
    """
    if not isinstance(models, Sequence) or isinstance(models, str) or not models:
        raise ConfigError(
            f"{what} takes a list of models or of saved folders, at least one; got {models!r:.80}"
        )


def _fetch_each(
    models: Sequence[Model], weights: Sequence[float], catalog: Catalog | None
) -> Iterator[tuple[str, float, FusedModel]]:
    for index, (model, weight) in enumerate(zip(models, weights, strict=True)):
        if isinstance(model, (str, PathLike)):
            yield f"models[{index}] ({model})", weight, load(model, catalog=catalog)
        else:
            check_unchanged(check_model("average", model))
            yield f"models[{index}]", weight, model


def _weights(models: Sequence[Model], weights: Sequence[float] | None) -> list[float]:
    given = [1.0] * len(models) if weights is None else list(weights)
    if len(given) != len(models):
        raise ConfigError(f"there are {len(models)} models, but {len(given)} weights")
    numbers = all(is_number(each) and 0 <= each < math.inf for each in given)
    if not numbers or not sum(given) > 0:
        raise ConfigError(
            f"weights are numbers of 0 or more, of which one is above 0; got {given!r:.200}"
        )
    return [float(each) for each in given]


def _check_finite(model: FusedModel, title: str) -> None:
    for name, value in state_of(model).items():
        problem = nonfinite_problem(value, isinstance(value, nn.Parameter))
        if problem:
            raise CheckpointError(
                f"{title}: {name!r:.200} {problem}, so its training has diverged; leave it out"
            )


def _add(
    shifts: dict[str, Tensor],
    first: dict[str, Tensor],
    state: dict[str, Tensor],
    share: float,
    title: str,
) -> None:
    """Adds a model's share of its distance from the first, in double precision."""
    for name, here in first.items():
        value = state[name].detach().to(here.device)
        if here.is_floating_point() or here.is_complex():
            wide = torch.complex128 if here.is_complex() else torch.float64
            there, base = value.to(wide), here.to(wide)
            apart = torch.where(there == base, 0.0, there - base)  # also where both are infinite
            shifts[name] = apart.mul_(share).add_(shifts[name]) if name in shifts else apart * share
        elif name.rpartition(".")[2] == COUNTER:
            ahead = (value - here).clamp(min=0)
            shifts[name] = torch.maximum(shifts[name], ahead) if name in shifts else ahead
        elif not torch.equal(value, here):
            raise CheckpointError(
                f"{title}: {name!r:.200} holds whole numbers that differ from those of the first "
                "model, and such are not averaged"
            )


def _shifted(value: Tensor, shift: Tensor | None) -> Tensor:
    """Gives the mean; where nothing is apart, the very bits of the first model."""
    if shift is None:
        return value
    return torch.where(shift == 0, value, (value.to(shift.dtype) + shift).to(value.dtype))
