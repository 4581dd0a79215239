"""What a layer on a product of widths would cost, told before it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fusionkit import AssemblyError, HeadInput
from fusionkit.heads.parts.options import check_width, per_branch

__all__ = ["MAX_PARAMETERS", "planned_widths", "refuse_above"]

MAX_PARAMETERS = 50_000_000
"""Twice a ResNet-50: 200 MB in float32, and 800 MB with gradients and the moments of Adam."""


def planned_widths(inputs: Mapping[str, HeadInput], project: Any) -> list[int]:
    """Gives the width d_i that each vector will have, in alphabetical order of the branches.

    Args:
        inputs: what the branches offer.
        project: as ``BranchVectors`` takes it.
    """
    names = sorted(inputs)
    targets = per_branch("project", project, names, missing=None)
    return [
        inputs[name].embed_dim if targets[name] is None else check_width("project", targets[name])
        for name in names
    ]


def refuse_above(
    max_parameters: object,
    count: Callable[[Sequence[int]], int],
    widths: Sequence[int],
    *,
    formula: str,
    instead: str,
) -> int:
    """Gives the number of parameters, or refuses it with the figure.

    Args:
        max_parameters: the option of this name, the most there may be.
        count: gives the number of parameters for widths of the branches.
        widths: d_i of each branch, projections counted in.
        formula: of the number, in words.
        instead: names of heads whose cost does not multiply.

    Raises:
        AssemblyError: there would be more; it says which projection would fit.
    """
    limit = check_width("max_parameters", max_parameters)
    parameters = count(widths)
    if parameters <= limit:
        return parameters
    fitting = _widest_that_fits(limit, count, widths)
    project = f"write project={fitting} ({_figure(count, fitting, widths)}), " if fitting else ""
    raise AssemblyError(
        f"the products of widths {' x '.join(map(str, widths))} would need {parameters:,} "
        f"parameters, {formula}, and max_parameters is {limit:,}; {project}take {instead}, whose "
        "cost does not multiply, or raise max_parameters"
    )


def _widest_that_fits(
    limit: int, count: Callable[[Sequence[int]], int], widths: Sequence[int]
) -> int:
    """Gives the width to which all vectors can be projected, or 0 if even 1 is too much."""
    fits, too_wide = 0, max(widths)
    while too_wide - fits > 1:
        middle = (fits + too_wide) // 2
        if count([middle] * len(widths)) <= limit:
            fits = middle
        else:
            too_wide = middle
    return fits


def _figure(count: Callable[[Sequence[int]], int], width: int, widths: Sequence[int]) -> str:
    return f"{count([width] * len(widths)):,}"
