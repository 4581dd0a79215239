"""Writes what is known of timm's models: ``python tests/providers/write_descriptions.py``.

Each model of the installed timm is described by running it, as if nothing were known of it. What
that takes, some tenths of a second for each, nobody else has to spend who has the same timm.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from unittest.mock import patch

import timm
import torch

import fusionkit as fk
from fusionkit.model.measure import unread_parameters
from fusionkit.providers.timm import describe
from fusionkit.providers.timm.create import create_model
from fusionkit.providers.timm.description import Description
from fusionkit.providers.timm.known import Known, identify, path_for
from fusionkit.providers.timm.names import find_source
from fusionkit.providers.timm.plugin import TimmModels
from fusionkit.providers.timm.shelf import Way, write_shelf

__all__ = ["measure", "ways_of"]

READS = {"vector": fk.Reads(vector=True), "logits": fk.Reads(logits=True)}


def measure(name: str, *, keeps: bool) -> Known:
    """Gives what running a model shows, with its stock classifier or without it."""
    source = find_source(name, None)
    classes = source.num_classes if keeps else None
    with warnings.catch_warnings(), patch.object(describe, "recall", return_value=None):
        warnings.simplefilter("ignore")
        with torch.device("meta"):
            backbone = TimmModels()[name](weights=None, num_classes=classes)
            model = create_model(source, 3, keeps, {})
        description = describe.describe(source, 3, keeps, {})
        unread = {}
        for what, reads in READS.items() if keeps else list(READS.items())[:1]:
            unread[what] = tuple(sorted(unread_parameters(backbone, reads)))
    return Known(identify(model), replace(description, unread=unread))


def ways_of(name: str) -> list[Way]:
    """Gives the two ways to build a model, or the one if it has no classifier."""
    source = find_source(name, None)
    has = source.num_classes > 0
    size = describe.input_size(source, {})
    return [
        (source.architecture, size, keeps, has) for keeps in ((False, True) if has else (False,))
    ]


def measure_ways(name: str) -> tuple[str, list[tuple[Way, str, Description]], str]:
    """Gives what is found of a model, and what it failed by; it is then described when used."""
    found = []
    try:
        for way in ways_of(name):
            known = measure(name, keeps=way[2])
            found.append((way, known.model, known.description))
    except fk.FusionKitError as error:
        return name, [], str(error)
    return name, found, ""


def measure_all(names: Sequence[str], jobs: int) -> Iterator[tuple[Way, str, Description]]:
    """Gives what is found of all models, and says of which nothing is."""
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        for name, found, failure in pool.map(measure_ways, names):
            if failure:
                print(f"{name}: {failure}", file=sys.stderr)
            yield from found


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
