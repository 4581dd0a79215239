"""``Card``: what the page about the heads says of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Card"]


@dataclass(frozen=True, slots=True)
class Card:
    """What a reader who chooses among the heads wants to know, beside the docstring's first line.

    Attributes:
        formula: in one line, with x_i for the vector or map of branch i and z_i for its scores.
        papers: where it comes from: "Arevalo et al., arXiv:1702.01992", the first one first.
        reads: what it joins.
        when: one or two sentences: when to take it, and when rather not.
        each: what each branch passes through on its own, a few words a box, for the drawing.
        join: the box in which the branches meet.
        after: the boxes from there to the scores.
        branches: how many it takes.
    """

    formula: str
    papers: tuple[str, ...]
    reads: Literal["scores", "vectors", "maps", "tokens"]
    when: str
    each: tuple[str, ...]
    join: str
    after: tuple[str, ...] = ()
    branches: str = "any number"
