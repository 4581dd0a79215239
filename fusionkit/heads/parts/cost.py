"""What grows faster than the number of branches, counted before it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fusionkit import AssemblyError, HeadInput
from fusionkit.heads.parts.options import check_width, per_branch

__all__ = [
    "BATCH",
    "MAX_PARAMETERS",
    "planned_widths",
    "product_of_widths",
    "refuse_above",
    "refuse_product",
]

MAX_PARAMETERS = 50_000_000
"""Twice a ResNet-50: 200 MB in float32, and 800 MB with gradients and the moments of Adam."""

BATCH = 32
"""Samples that should go through a head at once."""


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
    what: str,
    formula: str,
    instead: str,
    counted: str = "parameters",
    option: str = "project",
    step: int = 1,
) -> int:
    """Gives the number of parameters, or refuses it with the figure.

    Args:
        max_parameters: the option of this name, the most there may be.
        count: gives the number of parameters for widths that ``option`` sets.
        widths: those that are asked for: of each branch, projections counted in, or only one.
        what: would need them.
        formula: of the number, in words.
        instead: names of heads whose cost does not multiply.
        counted: what the number is of.
        option: sets the widths, all to one number.
        step: of which that number is a multiple.

    Raises:
        AssemblyError: there would be more; it says what would fit.
    """
    limit = check_width("max_parameters", max_parameters)
    number = count(widths)
    if number <= limit:
        return number

    def alike(width: int) -> int:
        return count([width] * len(widths))

    fitting = _widest_that_fits(limit, alike, max(widths), step)
    narrower = f"write {option}={fitting} ({alike(fitting):,}), " if fitting else ""
    raise AssemblyError(
        f"{what} would need {number:,} {counted}, {formula}, and max_parameters is {limit:,}; "
        f"{narrower}take {instead}, whose cost does not multiply, or raise max_parameters"
    )


def refuse_product(
    max_parameters: object,
    count: Callable[[Sequence[int]], int],
    outputs: int,
    widths: Sequence[int],
    *,
    formula: str,
    instead: str,
) -> int:
    """Gives the number of components of a product, or refuses it with the figure.

    A layer on it holds them once for each of its outputs, and a batch once for each sample:
    with few outputs, the samples need more.

    Args:
        max_parameters: the most that either may hold.
        count: gives the number of components for widths of the branches.
        outputs: of the layer on the product.
        widths: d_i of each branch, projections counted in.
        formula: of the number of components, in words.
        instead: names of heads whose cost does not multiply.

    Raises:
        AssemblyError: there would be more; it says which projection would fit.
    """
    if outputs < BATCH:
        times, bias, total = BATCH, 0, f"{formula} x {BATCH}"
        counted = f"numbers in the vectors of {BATCH} samples"
    else:
        times, bias, total = outputs, 1, f"({formula} + 1) x {outputs}"
        counted = "parameters"
    refuse_above(
        max_parameters,
        lambda each: (count(each) + bias) * times,
        widths,
        what=product_of_widths(widths),
        formula=total,
        instead=instead,
        counted=counted,
    )
    return count(widths)


def product_of_widths(widths: Sequence[int]) -> str:
    """Names a product, for ``what``."""
    return f"the products of widths {' x '.join(map(str, widths))}"


def _widest_that_fits(limit: int, count: Callable[[int], int], widest: int, step: int) -> int:
    """Gives the width, a multiple of ``step`` below ``widest``, or 0 if none is narrow enough."""
    fits, too_wide = 0, -(-widest // step)
    while too_wide - fits > 1:
        middle = (fits + too_wide) // 2
        if count(middle * step) <= limit:
            fits = middle
        else:
            too_wide = middle
    return fits * step
