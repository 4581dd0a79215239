"""``Card``: what a head says of itself to those who choose among heads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from inspect import getdoc
from typing import Literal

__all__ = ["Card", "card_of", "is_called"]


@dataclass(frozen=True, slots=True)
class Card:
    """What a reader who chooses among the heads wants to know, beside the docstring's first line.

    A head class (or factory) may have one as its attribute ``card``; ``fusionkit list`` and
    ``fusionkit info`` show it.

    Attributes:
        formula: in one line, with x_i for the vector or map of branch i and z_i for its scores.
        papers: where it comes from: "Arevalo et al., arXiv:1702.01992", the first one first.
        reads: what it joins.
        when: one or two sentences: when to take it, and when rather not.
        each: what each branch passes through on its own, a few words a box, for the drawing.
        join: the box in which the branches meet.
        after: the boxes from there to the scores.
        branches: how many it takes.
        recommended: whether it is the one to begin with among its plugin's heads.
    """

    formula: str
    papers: tuple[str, ...]
    reads: Literal["scores", "vectors", "maps", "tokens"]
    when: str
    each: tuple[str, ...]
    join: str
    after: tuple[str, ...] = ()
    branches: str = "any number"
    recommended: bool = False


def card_of(factory: object) -> Card | None:
    """Gives the card of a head's factory, ``None`` where it has none."""
    card = getattr(factory, "card", None)
    return card if isinstance(card, Card) else None


def is_called(factory: object, word: str) -> bool:
    """Tells whether a docstring's first line gives a head an abbreviation.

    That is a word in capitals (``"..., TFN"``), or the initials of the words that it begins with
    (``"Gated multimodal unit: ..."`` is called ``"gmu"``).
    """
    while isinstance(factory, partial):
        factory = factory.func
    first = (getdoc(factory) or "").partition("\n")[0]
    capitals = {each.lower() for each in re.findall(r"\b\w*[A-Z]{2}\w*\b", first)}
    begins = re.match(r"[\w -]*", first)
    initials = "".join(each[0] for each in re.findall(r"\w+", begins[0] if begins else ""))
    return len(word) > 1 and word.lower() in {*capitals, initials.lower()}
