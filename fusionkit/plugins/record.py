"""``PluginRecord``: what there is to say of one plugin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fusionkit.errors import PluginError
from fusionkit.plugins.plugin import Plugin

__all__ = ["PluginRecord", "record"]


@dataclass(frozen=True, slots=True)
class PluginRecord:
    """What there is to say of one plugin.

    Attributes:
        name: the namespace of what it offers.
        distribution: what it came with, or ``None`` for a plugin given in Python; two of them,
            with a comma, where two clash.
        version: that distribution's version.
        state: ``"loaded"``, ``"failed"``, or ``"blocked"`` by the user.
        backbones: how many backbones it lists.
        heads: how many heads it lists.
        reason: why it failed or is blocked.
        notes: what it changed for everybody while it was loaded; it was all set back.
    """

    name: str
    distribution: str | None
    version: str | None
    state: Literal["loaded", "failed", "blocked"]
    backbones: int = 0
    heads: int = 0
    reason: str | None = None
    notes: tuple[str, ...] = ()


def record(plugin: Plugin) -> PluginRecord:
    """Gives what there is to say of a plugin, and imports it unless it is blocked."""
    facts = (plugin.name, plugin.distribution, plugin.version)
    if plugin.blocked is not None:
        return PluginRecord(*facts, "blocked", reason=plugin.blocked)
    try:
        backbones, heads = len(plugin.names("backbone")), len(plugin.names("head"))
    except PluginError as error:
        return PluginRecord(*facts, "failed", reason=str(error))
    return PluginRecord(*facts, "loaded", backbones, heads, notes=plugin.offer().notes)
