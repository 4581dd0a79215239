"""Features that were computed before: which branches still run, on which inputs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from torch import Tensor

from fusionkit.errors import DataError, PolicyError, did_you_mean
from fusionkit.features import Features

__all__ = ["check_given", "join", "narrow"]


def narrow(
    inputs: Any, sources: Mapping[str, str], only: Collection[str]
) -> tuple[Any, dict[str, str]]:
    """Gives the inputs and the sources of some branches alone.

    Args:
        inputs: what the model was called with.
        sources: the input name of each branch.
        only: the branches.

    Raises:
        DataError: there is no such branch.
    """
    check_names(only, sources)
    chosen = {name: source for name, source in sources.items() if name in only}
    if not isinstance(inputs, Mapping):
        return inputs, chosen
    mine = {*chosen, *chosen.values()}
    others = {*sources, *sources.values()} - mine
    return {name: value for name, value in inputs.items() if name not in others}, chosen


def check_given(given: Mapping[str, Features], known: Iterable[str], awake: Iterable[str]) -> None:
    """Refuses features of branches that do not exist, or that learn and so have to run.

    Args:
        given: by branch.
        known: all branches.
        awake: those of which some parameter learns now; none in eval mode.

    Raises:
        DataError: there is no such branch, or batches differ in length.
        PolicyError: names the branch that would get no gradient.
    """
    check_names(given, known)
    for name in awake:
        if name in given:
            raise PolicyError(
                f"branch {name!r} learns at this epoch, but its features were given, so it would "
                "get no gradient; give features of frozen branches only, and begin a pass over "
                "cached features after model.set_epoch"
            )


def join(
    given: Mapping[str, Features], fresh: Mapping[str, Features], names: Iterable[str]
) -> dict[str, Features]:
    """Gives both in the order of ``names``.

    Raises:
        DataError: their batches differ in length.
    """
    joined = {name: {**fresh, **given}[name] for name in names if name in given or name in fresh}
    lengths = {name: _length(features) for name, features in joined.items()}
    if len(set(lengths.values()) - {None}) > 1:
        shown = ", ".join(f"{name!r} {length}" for name, length in lengths.items())
        raise DataError(f"features of different numbers of samples cannot be fused: {shown}")
    return joined


def check_names(names: Iterable[str], known: Iterable[str]) -> None:
    """Refuses names that no branch has.

    Raises:
        DataError: names it, and near ones.
    """
    known = list(known)
    for name in names:
        if name not in known:
            raise DataError(
                f"there is no branch {name!r:.80}.{did_you_mean(str(name), known)} "
                f"The branches are {', '.join(known)}"
            )


def _length(features: Features) -> int | None:
    values = (features.vector, *features.maps, features.logits)
    return next((len(value) for value in values if isinstance(value, Tensor)), None)
