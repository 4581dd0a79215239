"""Weights that are given as numbers, by branch or by branch and class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fusionkit import ConfigError
from fusionkit.heads.parts.options import is_number, is_word, listed, refuse_unknown_branches

__all__ = ["NEVER", "by_class", "check_classes", "read_weights", "read_weights_by_class"]

NEVER = -30.0
"""The logarithm that stands for a weight of zero: 1e-13, so that zeros only are equal shares."""


def by_class(weights: Any) -> bool:
    """Tells whether some branch has a weight for each class."""
    return isinstance(weights, Mapping) and any(
        isinstance(each, (list, tuple)) for each in weights.values()
    )


def read_weights(names: tuple[str, ...], weights: Any) -> tuple[float, ...]:
    """Gives constant weights, normalised."""
    if is_word(weights, "equal"):
        return (1 / len(names),) * len(names)
    _refuse_no_mapping(names, weights)
    for name, weight in weights.items():
        _check_weight(name, weight)
    return _normalise([weights[name] for name in names], names)


def read_weights_by_class(names: tuple[str, ...], weights: Any, num_classes: int | None) -> Tensor:
    """Gives the logarithms "n k" of constant weights; one number stands for all classes."""
    num_classes = check_classes(num_classes)
    _refuse_no_mapping(names, weights)
    rows = []
    for name in names:
        row = weights[name]
        row = list(row) if isinstance(row, (list, tuple)) else [row] * num_classes
        if len(row) != num_classes:
            raise ConfigError(
                f"option weights: branch {name!r} has {len(row)} weights, and there are "
                f"{num_classes} classes; write one number for each class, or one for all"
            )
        for weight in row:
            _check_weight(name, weight)
        rows.append(row)
    columns = [_normalise(column, names) for column in zip(*rows, strict=True)]
    return torch.tensor(columns).T.contiguous().log().clamp_min(NEVER)


def check_classes(num_classes: int | None) -> int:
    """Gives the number of classes, if what is averaged has classes."""
    if num_classes is None:
        raise ConfigError(
            "option weights: this head averages before there are classes, so that a branch has "
            "one weight; write a number for each branch, 'equal' or 'learned'"
        )
    return num_classes


def _refuse_no_mapping(names: tuple[str, ...], weights: Any) -> None:
    if not isinstance(weights, Mapping):
        raise ConfigError(
            "option weights is 'equal', 'learned', 'per_class', 'fitted' or a number for each "
            f"branch, got {weights!r}; write for example weights={{{_example(names)}}}"
        )
    refuse_unknown_branches("weights", weights, names)
    missing = [name for name in names if name not in weights]
    if missing:
        raise ConfigError(
            f"option weights has no weight for {listed(missing)}; write "
            f"weights={{..., {missing[0]!r}: 0}} if it is not to count"
        )


def _check_weight(name: str, weight: Any) -> None:
    if not (is_number(weight) and weight >= 0):
        raise ConfigError(
            f"option weights: the weight of {name!r} must be a finite number, zero or "
            f"positive, got {weight!r}"
        )


def _normalise(weights: Sequence[float], names: tuple[str, ...]) -> tuple[float, ...]:
    total = sum(weights)
    if not 0 < total < math.inf:
        raise ConfigError(
            f"option weights: their sum is {total:g}, and an average needs a positive, "
            f"finite one; write for example weights={{{_example(names)}}}, or weights='equal'"
        )
    return tuple(weight / total for weight in weights)


def _example(names: tuple[str, ...]) -> str:
    return ", ".join(f"{name!r}: {1 / len(names):.2g}" for name in names[:3])
