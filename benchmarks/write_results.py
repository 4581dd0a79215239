"""Trains on the shared photographs from the command line and writes what came out.

Run ``python benchmarks/write_results.py``: it writes ``docs/results.md``. Takes some minutes; runs
are kept in ``--runs``, and those that have ended are not run again.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from tempfile import gettempdir

from results_page.page import format_page, format_study
from results_page.runs import Outcome, run_row
from results_page.studies import STUDIES, Row

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("FUSIONKIT_SHARED", ROOT / ".." / "shared")) / "data"
COMMAND = "python benchmarks/write_results.py"


def main() -> int:
    """Runs all commands and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, default=Path(gettempdir()) / "fusionkit-results")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results.md")
    parser.add_argument("--only", default="", help="studies with this in their title")
    arguments = parser.parse_args()
    if not SHARED.is_dir():
        print(f"the shared images and weights are not at {SHARED}; set FUSIONKIT_SHARED")
        return 1
    os.environ.setdefault("FUSIONKIT_CACHE", str(arguments.runs / "features"))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    seeds = range(arguments.seeds)
    sections = []
    for study in STUDIES:
        if arguments.only not in study.title:
            continue
        place = arguments.runs / Path(study.recipe).stem
        found: dict[str, dict[Row, list[Outcome]]] = {}
        show = {SHARED: "../shared/data", ROOT / "examples": "examples"}
        for group, (title, rows) in enumerate(study.rows.items()):
            for number, row in enumerate(rows):
                folder = place / f"{group}-{number}"
                outcomes = run_row(study, row, SHARED, folder, seeds)
                show[folder] = f"runs/{Path(study.recipe).stem}"
                found.setdefault(title, {})[row] = outcomes
                accuracies = ", ".join(f"{each.accuracy:.4f}" for each in outcomes)
                print(f"{study.title}: {row.title}: {accuracies}", flush=True)
        sections.append(format_study(study, found, show))
    arguments.out.write_text(format_page(sections, COMMAND, seeds), encoding="utf-8")
    print(f"written to {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
