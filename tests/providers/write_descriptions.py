"""Writes what is known of timm's models: ``python tests/providers/write_descriptions.py``.

Each model of the installed timm is described by running it, as if nothing were known of it. What
that takes, some tenths of a second for each, nobody else has to spend who has the same timm.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from unittest.mock import patch

import timm
import torch

import fusionkit as fk
from fusionkit.assembly.unread import OUTPUTS
from fusionkit.model.measure import unread_parameters
from fusionkit.providers.timm import describe
from fusionkit.providers.timm.known import identify, path_for
from fusionkit.providers.timm.names import find_source
from fusionkit.providers.timm.plugin import TimmModels
from fusionkit.providers.timm.shelf import Known, Way, write_shelf

__all__ = ["measure", "ways_of"]


def measure(name: str, *, keeps: bool) -> Known:
    """Gives what running a model shows, with its stock classifier or without it."""
    source = find_source(name, None)
    classes = source.num_classes if keeps else None
    with warnings.catch_warnings(), patch.object(describe, "recall", return_value=None):
        warnings.simplefilter("ignore")
        with torch.device("meta"):
            backbone = TimmModels()[name](weights=None, num_classes=classes)
        description = describe.describe(source, 3, keeps, {})
        unread = {
            output: tuple(sorted(unread_parameters(backbone, reads)))
            for output, reads in OUTPUTS.items()
            if keeps or not reads.logits
        }
    return Known(identify(backbone.trunk), replace(description, unread=unread))


def ways_of(name: str) -> list[Way]:
    """Gives the two ways to build a model, or the one if it has no classifier."""
    source = find_source(name, None)
    return [
        describe.way_of(source, keeps) for keeps in (False, True)[: 1 + bool(source.num_classes)]
    ]


def measure_ways(name: str) -> tuple[dict[Way, Known], str]:
    """Gives what is found of a model, or what it failed by; it is then described when used."""
    try:
        return {way: measure(name, keeps=way.keeps_classifier) for way in ways_of(name)}, ""
    except fk.FusionKitError as error:
        return {}, f"{name}: {error}"


def measure_all(names: Sequence[str], jobs: int) -> dict[Way, Known]:
    """Gives what is found of all models, and says of which nothing is."""
    known: dict[Way, Known] = {}
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        for found, failure in pool.map(measure_ways, names):
            known |= found
            if failure:
                print(failure, file=sys.stderr)
    return known


def main() -> None:
    """Writes the file of the installed timm."""
    torch.set_num_threads(1)
    text = write_shelf(measure_all(sorted(timm.list_models()), jobs=2))
    path = path_for(timm.__version__)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(f"{path}: {text.count(chr(10)):,} lines, {len(text):,} bytes")


if __name__ == "__main__":
    main()
