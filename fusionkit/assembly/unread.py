"""What a backbone says that its outputs do not depend on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fusionkit.backbone.contract import Backbone
from fusionkit.errors import AssemblyError, did_you_mean
from fusionkit.features import Reads
from fusionkit.model.anatomy import trunk_of
from fusionkit.model.measure import unread_parameters

__all__ = ["OUTPUTS", "check_unread", "find_unread"]

OUTPUTS = {"vector": Reads(vector=True), "logits": Reads(logits=True)}
"""What ``Backbone.unread`` can speak of, and what is read then."""


def find_unread(backbone: Backbone, reads: Reads) -> frozenset[str]:
    """Gives the parameters that what is read does not depend on.

    As the backbone says where it does, else as a twin of it shows.

    Raises:
        AssemblyError: what it says is of another form, or it fails on its own example.
    """
    check_unread(backbone)
    for output, wanted in OUTPUTS.items():
        if reads == wanted and output in backbone.unread:
            return frozenset(backbone.unread[output])
    return unread_parameters(backbone, reads)


def check_unread(backbone: Backbone) -> None:
    """Refuses what is no account of parameters by output.

    Raises:
        AssemblyError: says what is wrong with it.
    """
    said: Any = backbone.unread
    form = (
        "its `unread` is a mapping from 'vector' and 'logits' to tuples of parameters, for example "
        "{'vector': ('mask_token',)}"
    )
    if not isinstance(said, Mapping):
        raise AssemblyError(f"{form}, got {said!r:.80}")
    for output, names in said.items():
        listed = isinstance(names, tuple | list) and all(isinstance(name, str) for name in names)
        if output not in OUTPUTS or not listed:
            raise AssemblyError(f"{form}, got {{{output!r:.80}: {names!r:.80}}}")
    if any(said.values()):
        known = {name for name, _ in trunk_of(backbone).named_parameters()}
        for name in (name for names in said.values() for name in names if name not in known):
            raise AssemblyError(
                f"its `unread` names {name!r:.80}, which is no parameter of its trunk."
                f"{did_you_mean(name, known)}"
            )
