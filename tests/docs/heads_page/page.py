"""The page about the heads, as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from types import ModuleType

import torch

from heads_page.cost import BRANCHES, CLASSES, IMAGE, WIDTHS, Cost
from heads_page.guide import CHOICES, HOW_TO_CHOOSE, INTRODUCTION
from heads_page.markdown import escape, fold, link_papers, short, table
from heads_page.survey import StudiedHead

__all__ = ["NOT_COUNTED", "torch_version", "write_page"]

NOT_COUNTED = "(not counted)"
"""Stands where a figure would, if somebody asked for a page without all of them."""

ALL_HEADS = f"""\
## All heads

By what they join. They take any number of branches, have an answer when the input of one is absent,
and are trained by gradient, unless the notes say otherwise; *fitted* is what `fk.fit_head` can set
to a whole set of samples at once. Parameters and FLOPs are those of two branches of width 512 for
{CLASSES} classes, one sample at inference; each head's own table has more."""

CITATION = re.compile(r" \([^()]*(arXiv:|\d{4})[^()]*\)$")

COST = f"""\
## What is counted

Every head is built on the meta device with its default options, for branches of equal width without
stock classifiers and {CLASSES} classes, so that a head that joins scores makes a linear layer for
each branch; on stock classifiers it needs none. Maps are those of a ResNet: at strides 4, 8, 16 and
32, with an eighth, a quarter, a half and the whole of the width, of an image of {IMAGE} x {IMAGE}
pixels. FLOPs are counted by `torch.utils.flop_counter` (here of torch {{version}}) for one sample
at inference, a multiplication and an addition being two: matrix products, convolutions and
attention count; norms, gates, elementwise products, pooling and Fourier transforms do not.
*Refused* is what a head does not build, with the number of parameters that it would need."""


def torch_version() -> str:
    """Gives the version whose counts stand on the page, without its smallest part."""
    return ".".join(torch.__version__.split(".")[:2])


def write_page(heads: Sequence[StudiedHead]) -> str:
    """Gives the page, always the same for the same heads and the same torch."""
    rooms = [(room, list(members)) for room, members in groupby(heads, key=lambda head: head.room)]
    parts = [INTRODUCTION, HOW_TO_CHOOSE, _choices(heads), ALL_HEADS]
    for room, members in rooms:
        parts += [f"**{_title(room)}**", _overview(members)]
    parts.append(COST.format(version=torch_version()))
    for room, members in rooms:
        parts.append(f"## {_title(room)}")
        for head in members:
            parts += _section(head)
    return "\n\n".join(parts) + "\n"


def _title(room: ModuleType) -> str:
    """Gives the first sentence of a room's docstring, without its stop."""
    return (room.__doc__ or "").strip().splitlines()[0].removesuffix(".")


def _choices(heads: Iterable[StudiedHead]) -> str:
    known = {head.name for head in heads}
    rows = []
    for situation, names, why in CHOICES:
        links = [_link(name) for name in names if name in known]
        if links:
            rows.append((situation, ", ".join(links), why))
    return table(("if", "take", "because"), rows)


def _link(name: str) -> str:
    return f"[`{name}`](#{name})"


def _overview(heads: Iterable[StudiedHead]) -> str:
    rows = []
    for head in heads:
        cost = head.costs[512, 2]
        what = CITATION.sub("", head.paragraphs[0].removesuffix("."))
        mark = " **recommended**" if head.card.recommended else ""
        figures = [_figure(number, cost) for number in (cost.parameters, cost.flops)]
        rows.append((_link(head.name) + mark, escape(what), _notes(head), *figures))
    return table(("head", "what it is", "notes", "parameters", "FLOPs"), rows)


def _notes(head: StudiedHead) -> str:
    return ", ".join(
        note
        for note, holds in (
            (f"{head.card.branches} branches", head.card.branches != "any number"),
            ("needs every branch", not head.takes_missing),
            ("fitted", head.fits),
            ("inference only", not head.trains),
        )
        if holds
    )


def _section(head: StudiedHead) -> Iterator[str]:
    card = head.card
    yield f"### {head.name}"
    yield link_papers(escape(head.paragraphs[0]))
    yield f"![How {head.name} joins the branches](heads/{head.name}.svg)"
    facts = [
        ("formula", f"`{card.formula}`"),
        ("from", "; ".join(link_papers(escape(paper)) for paper in card.papers)),
        ("joins", f"{card.reads}, {card.branches}"),
        ("without a branch", "answers" if head.takes_missing else "refuses by name"),
        ("learns", _learning(head)),
        (
            "scores of single branches",
            "yes" if head.tells_branches else "no; wrap it in `auxiliary`",
        ),
        ("when", escape(card.when)),
    ]
    yield table(("", ""), facts)
    yield from (link_papers(escape(paragraph)) for paragraph in head.paragraphs[1:])
    if head.options:
        yield fold("Options", _options(head))
    yield fold("Parameters and FLOPs as branches and widths grow", _costs(head))


def _learning(head: StudiedHead) -> str:
    ways = ["at once, by `fk.fit_head`"] if head.fits else []
    if not head.trains:
        ways.append("not by gradient: for inference only")
    elif head.parameters:
        ways.append("by gradient")
    else:
        ways.append("nothing of its own; gradients reach the branches")
    return "; ".join(ways)


def _options(head: StudiedHead) -> str:
    rows = [
        (
            f"`{option.name}`",
            "must be given" if option.default is None else f"`{option.default}`",
            escape(option.description),
        )
        for option in head.options
    ]
    return table(("option", "default", "meaning"), rows)


def _costs(head: StudiedHead) -> str:
    rows = [
        (str(width), *(_cost(head.costs[width, branches]) for branches in BRANCHES))
        for width in WIDTHS
    ]
    return table(("width", *(f"{branches} branches" for branches in BRANCHES)), rows)


def _cost(cost: Cost) -> str:
    if cost.refusal is None:
        return f"{_figure(cost.parameters, cost)} / {_figure(cost.flops, cost)}"
    return "refused" if cost.parameters is None else f"refused: {short(cost.parameters)}"


def _figure(number: int | None, cost: Cost) -> str:
    if cost.refusal is not None:
        return "refused"
    return NOT_COUNTED if number is None else short(number)
