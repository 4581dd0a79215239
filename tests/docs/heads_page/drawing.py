"""Draws what a card says of a head: boxes and arrows, from the branches to the scores."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from textwrap import wrap

from fusionkit import Card

__all__ = ["draw"]

INPUTS = {"scores": "branch_i", "vectors": "vector x_i", "maps": "map x_i", "tokens": "tokens x_i"}
# White text can be read on these, and the lines' grey on white and on black.
GREY, GREEN, VIOLET, BLUE, LINE = "#57606a", "#1a7a6d", "#8250df", "#0969da", "#808a94"

HEIGHT, MIDDLE, ROWS = 128, 64, (32, 96)
LOW, TALL, PADDING, GAP = 50, 122, 11, 30
LEADING, BASELINE = 17, 5
COLUMN = 880  # of the pages on which it is read; what is wider is shrunk there
NARROW, BROAD = "ijlftr.,;:'|()[] \N{NO-BREAK SPACE}", "mwMWΣΠ⊙⊗⊕"

SUBSCRIPT = re.compile(r"_(?:[{(]([^})]+)[})]|([A-Za-z0-9])(?![A-Za-z0-9_]))")


def draw(name: str, card: Card) -> str:
    """Gives an SVG that can be read on light and dark pages, with the reader's own font."""
    for characters in (20, 15, 11):
        shapes, width = _lay_out(card, characters)
        if width <= COLUMN:
            break
    return _svg(f"How {name} joins the branches", width, shapes)


def _lay_out(card: Card, characters: int) -> tuple[list[str], int]:
    """Gives the shapes and their width, with about so many characters a line."""
    few = card.branches in ("one", "two")
    x, shapes = 2, []
    for number, text in enumerate((INPUTS[card.reads], *card.each)):
        texts = [
            _wrap(_of_branch(text, last), characters, 3) for last in ("1", "2" if few else "N")
        ]
        width, colour = max(map(_width, texts)), GREEN if number else GREY
        for y, lines in zip(ROWS, texts, strict=True):
            shapes += [_box(x, y, width, lines, height=LOW, colour=colour)]
            shapes += [_arrow(x + width, y)]
        if number == 0 and not few:
            shapes += [_dot(x + width // 2, MIDDLE + step) for step in (-5, 0, 5)]
        x += width + GAP
    later = [(card.join, VIOLET, TALL), *((text, BLUE, LOW) for text in card.after)]
    for text, colour, height in later:
        lines = _wrap(text, characters, 6)
        width = _width(lines)
        shapes += [
            _box(x, MIDDLE, width, lines, height=height, colour=colour),
            _arrow(x + width, MIDDLE),
        ]
        x += width + GAP
    width = _width(["scores"])
    shapes.append(_box(x, MIDDLE, width, ["scores"], height=LOW, colour=GREY))
    return shapes, x + width + 2


def _of_branch(text: str, number: str) -> str:
    """Puts a branch's number where a formula has the index i."""
    return re.sub(r"(_\{?)i(?![A-Za-z])", rf"\g<1>{number}", text)


def _wrap(text: str, characters: int, most: int) -> list[str]:
    """Breaks text into at most so many lines, but not between brackets."""
    depth, kept = 0, ""
    for c in text:
        depth += (c in "([") - (c in ")]")
        kept += "\N{NO-BREAK SPACE}" if c == " " and depth else c
    lines = wrap(kept, characters, break_long_words=False, break_on_hyphens=False)
    return lines if len(lines) <= most else _wrap(text, characters + 4, most)


def _width(lines: Sequence[str]) -> int:
    """Gives the width of a box, wide enough for any common font without serifs."""
    shown = [SUBSCRIPT.sub(r"\1\2", line) for line in lines]
    widths = [sum(5 if c in NARROW else 13 if c in BROAD else 8.5 for c in line) for line in shown]
    return round(max(widths)) + 2 * PADDING


def _box(x: int, y: int, width: int, lines: Sequence[str], *, height: int, colour: str) -> str:
    height = max(height, LEADING * len(lines) + PADDING)
    first = y - LEADING * (len(lines) - 1) / 2 + BASELINE
    texts = "".join(
        f'<text x="{x + width / 2:g}" y="{first + LEADING * number:g}">{_subscripts(line)}</text>'
        for number, line in enumerate(lines)
    )
    return (
        f'<rect x="{x}" y="{y - height // 2}" width="{width}" height="{height}" rx="8" '
        f'fill="{colour}"/>{texts}'
    )


def _subscripts(line: str) -> str:
    lowered = r'<tspan class="low" dy="4">\1\2</tspan><tspan dy="-4">&#8203;</tspan>'
    return SUBSCRIPT.sub(lowered, escape(line, quote=False))


def _arrow(x: int, y: int) -> str:
    return f'<path class="line" d="M{x + 4} {y}H{x + GAP - 5}m-7 -5l7 5l-7 5"/>'


def _dot(x: int, y: int) -> str:
    return f'<circle cx="{x}" cy="{y}" r="1.5" fill="{LINE}"/>'


def _svg(title: str, width: int, shapes: Sequence[str]) -> str:
    style = (
        "text{font:14px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;"
        "fill:#fff;text-anchor:middle}.low{font-size:11px}"
        f".line{{fill:none;stroke:{LINE};stroke-width:2}}"
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width} {HEIGHT}" '
        f'width="{width}" height="{HEIGHT}">'
    )
    lines = [head, f"<title>{escape(title)}</title>", f"<style>{style}</style>", *shapes, "</svg>"]
    return "\n".join(lines) + "\n"
