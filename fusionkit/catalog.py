"""``Catalog``: names to factories, with the distribution and version each came from."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Generic, NoReturn, TypeAlias, TypeVar

from fusionkit.card import is_called
from fusionkit.errors import ConfigError, PluginError, did_you_mean, near_names, suggest_names
from fusionkit.plugins.discovery import Skipped
from fusionkit.plugins.installed import installed_plugins
from fusionkit.plugins.plugin import OWN_HEADS, Kind, Plugin
from fusionkit.plugins.record import PluginRecord, record
from fusionkit.plugins.settings import VARIABLES

if TYPE_CHECKING:
    from fusionkit.hookspecs import BackboneFactory, HeadFactory

__all__ = ["BackboneEntry", "Catalog", "Entry", "HeadEntry", "PluginRecord"]


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """One backbone or head by name.

    Attributes:
        name: ``provider/model`` of a backbone; of a head bare for fusionkit's own, and
            ``plugin/name`` for all others.
        factory: builds it.
        distribution: what it came with, or ``None`` for a plugin given in Python.
        version: that distribution's version.
    """

    name: str
    factory: T
    distribution: str | None
    version: str | None


BackboneEntry: TypeAlias = "Entry[BackboneFactory]"
HeadEntry: TypeAlias = "Entry[HeadFactory]"


class Catalog:
    """The backbones and heads that plugins offer, each plugin imported when it is first asked.

    Example:
        >>> import fusionkit
        >>> catalog = fusionkit.Catalog.installed()
        >>> catalog.backbones("torchvision", filter="resnet1*")
        ['torchvision/resnet101', 'torchvision/resnet152', 'torchvision/resnet18']

    Attributes:
        skipped: the distributions whose entry points could not be read, and why.
    """

    def __init__(self, plugins: Iterable[Plugin] = (), skipped: tuple[Skipped, ...] = ()) -> None:
        self._plugins = {plugin.name: plugin for plugin in plugins}
        self.skipped = skipped

    def __repr__(self) -> str:
        return f"Catalog({', '.join(self._plugins)})"

    @classmethod
    def installed(cls) -> Catalog:
        """Gives the catalog of the installed plugins.

        ``FUSIONKIT_DISABLE_PLUGINS=a,b`` keeps some out, ``FUSIONKIT_LOAD_PLUGINS=a,b`` lets
        only these in, and with ``FUSIONKIT_STRICT_PLUGINS=1`` any that fails is an error here.

        Raises:
            PluginError: in strict mode, when a plugin cannot be used.
        """
        return _installed(_surroundings())

    def with_plugin(self, name: str, plugin: object) -> Catalog:
        """Gives a catalog with one more plugin, and leaves this one as it is.

        Args:
            name: the namespace of what it offers.
            plugin: a module or an object whose functions are marked with
                ``fusionkit.hookimpl``.

        Raises:
            PluginError: the name is taken, or the plugin breaks its contract.
        """
        if name in self._plugins:
            raise PluginError(
                f"there is a plugin {name!r} already ({self._plugins[name].origin}); "
                "give the new one another name"
            )
        version = getattr(plugin, "__version__", None)
        version = version if isinstance(version, str) else None
        added = Plugin.given(name, plugin, version)
        return Catalog((*self._plugins.values(), added), self.skipped)

    def backbone(self, name: str) -> BackboneEntry:
        """Gives one backbone.

        Args:
            name: ``provider/model``.

        Raises:
            ConfigError: there is no such backbone; tells up to three near names.
            PluginError: the provider's plugin is broken, blocked, or clashes with another.
        """
        provider, _, model = name.partition("/")
        if not provider or not model:
            self._refuse_bare("backbone", name)
        plugin = self._plugin(provider, name)
        factory = plugin.factory("backbone", model)
        return Entry(name, factory, plugin.distribution, plugin.version)

    def head(self, name: str) -> HeadEntry:
        """Gives one head.

        Args:
            name: bare for fusionkit's own, ``plugin/name`` for all others.

        Raises:
            ConfigError: there is no such head; tells up to three near names.
            PluginError: the head's plugin is broken, blocked, or clashes with another.
        """
        provider, slash, model = name.partition("/")
        if not slash:
            provider, model = OWN_HEADS, name
        elif not provider or not model:
            self._refuse_bare("head", name)
        plugin = self._plugin(provider, name)
        if not slash and model not in plugin.names("head"):
            self._refuse_bare("head", name)
        factory = plugin.factory("head", model)
        full = plugin.prefix("head") + model
        return Entry(full, factory, plugin.distribution, plugin.version)

    def backbones(self, provider: str | None = None, filter: str | None = None) -> list[str]:  # noqa: A002
        """Gives the names of all backbones, sorted; plugins that fail are left out.

        Args:
            provider: only this one's, and then its failure is an error.
            filter: only names that match this glob, with the provider or without it; text
                without ``*``, ``?`` or ``[`` may stand anywhere in the name.

        Raises:
            ConfigError: there is no such provider.
            PluginError: the provider asked for cannot be used.
        """
        return list(self._names("backbone", provider, filter))

    def heads(self, provider: str | None = None, filter: str | None = None) -> list[str]:  # noqa: A002
        """Gives the names of all heads, sorted, with fusionkit's own first.

        Args:
            provider: only this plugin's, and then its failure is an error.
            filter: as for ``backbones``.

        Raises:
            ConfigError: there is no such plugin.
            PluginError: the plugin asked for cannot be used.
        """
        return list(self._names("head", provider, filter))

    def plugins(self) -> tuple[PluginRecord, ...]:
        """Gives what there is to say of every plugin; imports all that are not blocked."""
        return tuple(record(plugin) for plugin in self._plugins.values())

    def _names(self, kind: Kind, provider: str | None, pattern: str | None) -> Iterator[str]:
        if provider is not None:
            chosen = [self._plugin(provider, provider)]
        else:
            chosen = sorted(self._plugins.values(), key=lambda plugin: plugin.prefix(kind))
        for plugin in chosen:
            try:
                names = plugin.names(kind)
            except PluginError:
                if provider is not None:
                    raise
                continue  # told by plugins(), and by whoever asks for one of its names
            prefix = plugin.prefix(kind)
            yield from (prefix + name for name in names if _matches(prefix, name, pattern))

    def _plugin(self, name: str, wanted: str) -> Plugin:
        try:
            return self._plugins[name]
        except KeyError:
            for_what = "" if wanted == name else f" (for {wanted!r})"
            raise ConfigError(
                f"no plugin {name!r} is installed{for_what}."
                f"{did_you_mean(name, self._plugins)} {self._census()} "
                f"If {name!r} comes with a distribution of its own, pip install that."
            ) from None

    def _census(self) -> str:
        """Tells which plugins there are, and which of them cannot be used, in one sentence."""
        shown = []
        for plugin in self._plugins.values():
            trouble = "blocked" if plugin.blocked else "failed" if plugin.failed else ""
            shown.append(f"{plugin.name} ({trouble})" if trouble else plugin.name)
        return f"Installed: {', '.join(shown) or 'none'}."

    def _refuse_bare(self, kind: Kind, name: str) -> NoReturn:
        """Refuses a name without a plugin's before it, with near names of all plugins."""
        if kind == "head":
            near = near_names(name, self._names(kind, None, None))
            meant = dict.fromkeys((*self._heads_called(name), *near))
            raise ConfigError(
                f"there is no head {name!r}.{suggest_names(list(meant))} `fusionkit list --kind "
                "head` shows all; a plugin's head is written 'plugin/name'"
            )
        raise ConfigError(
            f"a backbone's name is 'provider/model', for example 'timm/resnet18'; got {name!r}."
            + did_you_mean(name, self._names(kind, None, None))
        )

    def _heads_called(self, word: str) -> Iterator[str]:
        """Gives the heads that have a word as an abbreviation; those that fail have none."""
        for name in self._names("head", None, None):
            try:
                factory = self.head(name).factory
            except PluginError:
                continue  # told by whoever asks for it
            if is_called(factory, word):
                yield name


def _matches(prefix: str, name: str, pattern: str | None) -> bool:
    if pattern is None:
        return True
    if not any(sign in pattern for sign in "*?["):
        pattern = f"*{pattern}*"
    return fnmatchcase(name, pattern) or fnmatchcase(prefix + name, pattern)


def _surroundings() -> tuple[object, ...]:
    """Gives everything that the installed plugins depend on, so that none is remembered wrongly."""
    places = []
    for place in sys.path:
        try:
            places.append((place, os.stat(place or ".").st_mtime_ns))
        except (OSError, TypeError, ValueError):
            places.append((str(place), 0))
    return (*places, *(os.environ.get(name) for name in VARIABLES))


@lru_cache(maxsize=4)
def _installed(surroundings: tuple[object, ...]) -> Catalog:
    return Catalog(*installed_plugins(os.environ))
