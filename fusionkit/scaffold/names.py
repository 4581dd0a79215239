"""What a new plugin is called: as a namespace, on the package index, and in Python."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fusionkit.errors import ConfigError, PluginError
from fusionkit.plugins.discovery import discover

__all__ = ["PluginNames", "refuse_clash"]

PREFIX = "fusionkit-"
OURS = ("fusionkit", "heads", "hf", "timm", "torchvision", "transformers")
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
LONGEST = 30


@dataclass(frozen=True, slots=True)
class PluginNames:
    """The three names of one plugin.

    Attributes:
        plugin: the entry point's name, which stands before the names of all that it offers.
        distribution: on the package index, and of the folder.
        package: what Python imports.
    """

    plugin: str
    distribution: str
    package: str

    @classmethod
    def parse(cls, text: str) -> PluginNames:
        """Reads a name as its author writes it.

        Capitals, underscores and dots are written in the way of the package index, which does
        not tell them from small letters and dashes. ``fusionkit-`` before it may be left out.

        Raises:
            ConfigError: it cannot be a name, or is one of fusionkit's own.
        """
        plain = re.sub(r"^(torch-)?fusionkit-", "", _plain(text.strip()))
        if not NAME.fullmatch(plain) or not plain.isascii() or len(plain) > LONGEST:
            raise ConfigError(
                f"{text!r:.100} cannot be a plugin's name: write at most {LONGEST} letters a to z "
                "and digits, with single dashes between them, for example 'spiral-net'"
            )
        if plain in OURS:
            raise ConfigError(f"{plain!r} is a name of fusionkit's own; give the plugin another")
        return cls(plain, PREFIX + plain, (PREFIX + plain).replace("-", "_"))


def refuse_clash(names: PluginNames) -> None:
    """Refuses the name of a plugin that is installed; imports none.

    Raises:
        PluginError: names the distribution that has it.
    """
    for candidate in discover()[0]:
        same = _plain(candidate.distribution) == names.distribution
        if same or _plain(candidate.name) == names.plugin:
            raise PluginError(
                f"there is a plugin {candidate.name!r} already, of the installed distribution "
                f"{candidate.distribution} {candidate.version}: give the new one another name, "
                f"or `pip uninstall {candidate.distribution}` first"
            )


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
