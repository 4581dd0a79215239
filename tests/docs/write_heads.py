"""Writes the page about the heads and its drawings: ``python tests/docs/write_heads.py``."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from heads_page.drawing import draw
from heads_page.page import write_page
from heads_page.survey import survey_heads

__all__ = ["FOLDER", "PAGE", "write_all"]

PAGE = Path(__file__).parents[2] / "docs" / "heads.md"
FOLDER = PAGE.with_suffix("")


def write_all(counted: Collection[tuple[int, int]] | None = None) -> dict[Path, str]:
    """Gives the text of each file: the page, and a drawing of each head.

    Args:
        counted: the widths and numbers of branches for which FLOPs are counted; all by default.
    """
    heads = survey_heads(counted=counted)
    drawings = {FOLDER / f"{head.name}.svg": draw(head.name, head.card) for head in heads}
    return {PAGE: write_page(heads), **drawings}


def main() -> None:
    """Writes them all, and removes the drawings of heads that are no more."""
    files = write_all()
    FOLDER.mkdir(exist_ok=True)
    for path in {*FOLDER.glob("*.svg")} - files.keys():
        path.unlink()
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    print(f"wrote {PAGE} and {len(files) - 1} drawings")


if __name__ == "__main__":
    main()
