"""A soup of those models that make it better, one after another."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from fusionkit.catalog import Catalog
from fusionkit.errors import ConfigError
from fusionkit.model.fused import FusedModel
from fusionkit.numbers import is_number
from fusionkit.surgery.average import Model, average, check_listed

__all__ = ["Soup", "greedy_soup"]


class Soup(NamedTuple):
    """An average, and of what.

    Attributes:
        model: in eval mode.
        chosen: the places of its models in the list that was given, in the order in which they
            were taken.
        score: its score.
        scores: those of the single models, in the order in which they were given.
    """

    model: FusedModel
    chosen: tuple[int, ...]
    score: float
    scores: tuple[float, ...]


def greedy_soup(
    models: Sequence[Model],
    score: Callable[[FusedModel], float],
    *,
    catalog: Catalog | None = None,
) -> Soup:
    """Gives the average of those models that make it no worse (arXiv:2203.05482, recipe 1).

    The models are tried in the order of their own scores, best first; each stays if the average
    with it scores at least as high as without. So it is never worse than the best one on the
    data that ``score`` looks at, which are to be held out for it.

    Args:
        models: as ``average`` takes them; folders are loaded when they are needed.
        score: higher is better, for example the accuracy. It is given a copy in eval mode.
        catalog: where the names of saved models are looked up; by default all installed plugins.

    Raises:
        ConfigError: there is no model, or a score is no finite number.
        CheckpointError: a folder cannot be loaded, or models differ in more than their values.
    """
    check_listed("greedy_soup", models)
    scores = [_score(score, average([each], catalog=catalog)) for each in models]
    first, *rest = sorted(range(len(models)), key=lambda index: -scores[index])
    chosen, best = [first], scores[first]
    for index in rest:
        trial = [*chosen, index]
        reached = _score(score, average([models[each] for each in trial], catalog=catalog))
        if reached >= best:
            chosen, best = trial, reached
    model = average([models[each] for each in chosen], catalog=catalog)
    return Soup(model, tuple(chosen), best, tuple(scores))


def _score(score: Callable[[FusedModel], float], model: FusedModel) -> float:
    reached = score(model)
    value = reached.item() if hasattr(reached, "item") else reached
    if not is_number(value) or not math.isfinite(value):
        raise ConfigError(f"score must give a finite number, got {reached!r:.80}")
    return float(value)
