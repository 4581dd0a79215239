"""Spares a sweep what takes long and tells nothing new."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any
from unittest.mock import patch

from fusionkit.backbone.contract import Backbone
from fusionkit.features import Reads
from fusionkit.model.measure import unread_parameters

__all__ = ["shortcuts"]


@contextmanager
def shortcuts() -> Iterator[None]:
    """Makes ``compose`` and ``copy.deepcopy`` faster, with the same results.

    The checks compose a dozen models of copies of one backbone, and ``compose`` runs each backbone
    to see which parameters nobody reads; only the first has anything new to tell. A module has ten
    ordered dictionaries, nearly always empty, and copying them is what copying it costs.
    """
    with (
        patch("fusionkit.assembly.unread.unread_parameters", _remembering()),
        patch.dict("copy._deepcopy_dispatch", {OrderedDict: _copy_ordered}),
    ):
        yield


def _remembering() -> Any:
    """Gives ``unread_parameters``, asked once for parameters of the same names and shapes."""
    known: dict[Any, frozenset[str]] = {}

    def recall(backbone: Backbone, reads: Reads) -> frozenset[str]:
        shapes = tuple((name, value.shape) for name, value in backbone.named_parameters())
        key = (reads, backbone.in_channels, backbone.num_classes, shapes)
        if key not in known:
            known[key] = unread_parameters(backbone, reads)
        return known[key]

    return recall


def _copy_ordered(given: OrderedDict[Any, Any], memo: dict[int, Any]) -> OrderedDict[Any, Any]:
    made: OrderedDict[Any, Any] = OrderedDict()
    memo[id(given)] = made
    for key, value in given.items():
        made[deepcopy(key, memo)] = deepcopy(value, memo)
    if vars(given):  # a state dict carries its metadata so
        vars(made).update(deepcopy(vars(given), memo))
    return made
