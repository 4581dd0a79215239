"""``PluginSubject``: a plugin under test, and what is asked of it by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from fusionkit.catalog import Catalog
from fusionkit.errors import ConfigError, did_you_mean
from fusionkit.plugins.discovery import Candidate, Skipped, discover
from fusionkit.plugins.plugin import Kind, Plugin
from fusionkit.plugins.question import Offer
from fusionkit.testing.check import NotApplicableError
from fusionkit.testing.plugins.probe import Trace, probe

__all__ = ["Chosen", "Offered", "PluginSubject"]

Chosen: TypeAlias = Iterable[str] | Mapping[str, Mapping[str, Any]] | None
"""Names, or options by name; ``None`` for what is listed."""


@dataclass(frozen=True, slots=True)
class Offered:
    """One backbone or head that is asked.

    Attributes:
        kind: which of the two.
        name: without the plugin's own before it.
        factory: as the plugin gives it.
        options: with which it is built.
    """

    kind: Kind
    name: str
    factory: Callable[..., Any]
    options: Mapping[str, Any] = field(default_factory=dict)


class PluginSubject:
    """What the checks ask: an entry point's name, and the catalog in which it is.

    Attributes:
        name: of the entry point.
        catalog: where it is looked up.
        chosen: what to ask of each kind, see ``Chosen``.
        limit: how many of each kind are asked at most where none were chosen.
    """

    def __init__(
        self,
        name: str,
        *,
        catalog: Catalog | None = None,
        backbones: Chosen = None,
        heads: Chosen = None,
        limit: int | None = None,
    ) -> None:
        self.name = name
        self.catalog = catalog or Catalog.installed()
        self.chosen: dict[Kind, Chosen] = {"backbone": backbones, "head": heads}
        self.limit = limit

    @cached_property
    def _discovered(self) -> tuple[tuple[Candidate, ...], tuple[Skipped, ...]]:
        return discover()

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The installed entry points of that name."""
        return tuple(each for each in self._discovered[0] if each.name == self.name)

    @property
    def installed(self) -> tuple[str, ...]:
        """The names of all entry points that are installed."""
        return tuple(dict.fromkeys(each.name for each in self._discovered[0]))

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """The distributions whose entry points could not be read."""
        return self._discovered[1]

    @property
    def is_given(self) -> bool:
        """Whether it was given to the catalog in Python, without a distribution."""
        try:
            return self.plugin.distribution is None
        except ConfigError:
            return False

    @property
    def plugin(self) -> Plugin:
        """The plugin in the catalog.

        Raises:
            ConfigError: there is none of that name.
        """
        return self.catalog._plugin(self.name, self.name)

    @property
    def offer(self) -> Offer:
        """What it answers to fusionkit's questions.

        Raises:
            PluginError: it is broken, blocked, or clashes with another.
        """
        return self.plugin.offer()

    @cached_property
    def trace(self) -> Trace:
        """What it does in a fresh process."""
        if self.is_given or not self.candidates:
            raise NotApplicableError("it was given in Python, and is no installed entry point")
        return probe(self.candidates[0])

    def listed(self, kind: Kind) -> list[str]:
        """Gives the names that it lists, sorted."""
        return self.plugin.names(kind)

    def names(self, kind: Kind) -> list[str]:
        """Gives the names that are asked, sorted."""
        chosen = self.chosen[kind]
        if chosen is not None:
            prefix = f"{self.name}/"
            return sorted({name.removeprefix(prefix) for name in chosen})
        return _draw(self.listed(kind), self.limit)

    def offered(self, kind: Kind) -> list[Offered]:
        """Gives what is asked, with its factories.

        Raises:
            ConfigError: it offers no such name.
        """
        chosen = self.chosen[kind]
        options: dict[str, Mapping[str, Any]] = {}
        if isinstance(chosen, Mapping):
            prefix = f"{self.name}/"
            options = {name.removeprefix(prefix): dict(each) for name, each in chosen.items()}
        return [
            Offered(kind, name, self.plugin.factory(kind, name), options.get(name, {}))
            for name in self.names(kind)
        ]

    def require_name(self, name: str) -> None:
        """Refuses the name of something that is not asked.

        Raises:
            ConfigError: names it, and near ones.
        """
        known = [self.name, *self.names("backbone"), *self.names("head")]
        if name.removeprefix(f"{self.name}/") not in known:
            raise ConfigError(
                f"expected_failures: nothing called {name!r} is asked of plugin {self.name!r}."
                + did_you_mean(name, known)
            )


def _draw(names: list[str], limit: int | None) -> list[str]:
    """Gives at most so many names, evenly drawn, with the first and the last among them."""
    if limit is None or len(names) <= limit:
        return names
    if limit < 2:
        return names[:limit]
    return [names[index * (len(names) - 1) // (limit - 1)] for index in range(limit)]
