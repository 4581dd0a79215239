"""Writes the tables of checks into the tutorial: ``python tests/docs/check_tables.py``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fusionkit.testing.backbones.all import BACKBONE_CHECKS
from fusionkit.testing.check import Check
from fusionkit.testing.heads.all import HEAD_CHECKS
from fusionkit.testing.plugins.all import PLUGIN_CHECKS

__all__ = ["PAGE", "with_tables"]

PAGE = Path(__file__).parents[2] / "docs" / "write-a-plugin.md"
CHECKS = {"backbone": BACKBONE_CHECKS, "head": HEAD_CHECKS, "plugin": PLUGIN_CHECKS}


def with_tables(page: str) -> str:
    """Gives the page with each table between its two comments as the kit has it."""
    for kind, checks in CHECKS.items():
        begin, end = f"<!-- checks of a {kind} -->", f"<!-- end of the checks of a {kind} -->"
        assert page.count(begin) == page.count(end) == 1, f"the page has no place for {begin}"
        before, _, rest = page.partition(begin)
        page = f"{before}{begin}\n{_table(checks)}\n{end}{rest.partition(end)[2]}"
    return page


def _table(checks: Sequence[Check[Any]]) -> str:
    rows = ["| check | what it asks |", "|---|---|"]
    for check in checks:
        promise = check.promise.replace("``", "`").replace("|", "\\|")
        rows.append(f"| `{check.name}`{' (slow)' if check.slow else ''} | {promise} |")
    return "\n".join(rows)


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
