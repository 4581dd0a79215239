"""Turns what discovery found into plugins by name, with every conflict said."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from fusionkit.errors import PluginError
from fusionkit.plugins.discovery import Candidate, Skipped, discover
from fusionkit.plugins.plugin import Plugin, load_candidate
from fusionkit.plugins.question import Offer
from fusionkit.plugins.settings import Settings

__all__ = ["installed_plugins"]


def installed_plugins(
    environment: Mapping[str, str],
) -> tuple[tuple[Plugin, ...], tuple[Skipped, ...]]:
    """Gives the installed plugins, none imported yet, and the distributions that were skipped.

    Args:
        environment: where the ``FUSIONKIT_*_PLUGINS`` variables are read.

    Raises:
        PluginError: in strict mode, when any plugin cannot be used; all are imported then.
    """
    settings = Settings.read(environment)
    candidates, skipped = discover()
    plugins = _by_name(candidates, settings)
    settings.warn_of_unknown(plugin.name for plugin in plugins)
    if settings.strict:
        for plugin in plugins:
            if plugin.blocked is None:
                plugin.offer()
        for distribution in skipped:
            raise PluginError(
                f"distribution {distribution.distribution} was skipped: {distribution.reason}"
            )
    return plugins, skipped


def _by_name(candidates: Iterable[Candidate], settings: Settings) -> tuple[Plugin, ...]:
    by_name: dict[str, list[Candidate]] = defaultdict(list)
    names_of: dict[str, set[str]] = defaultdict(set)
    for candidate in candidates:
        by_name[candidate.name].append(candidate)
        if candidate.value and settings.block(candidate.name) is None:
            names_of["".join(candidate.value.split())].add(candidate.name)
    plugins = []
    for name, namesakes in sorted(by_name.items()):
        plugins.append(
            Plugin(
                name,
                _loader(namesakes, names_of),
                distribution=", ".join(dict.fromkeys(one.distribution for one in namesakes)),
                version=", ".join(dict.fromkeys(one.version for one in namesakes)),
                blocked=settings.block(name),
            )
        )
    return tuple(plugins)


def _loader(namesakes: list[Candidate], names_of: Mapping[str, set[str]]) -> Callable[[], Offer]:
    first = namesakes[0]
    if len(namesakes) > 1:
        homes = " and ".join(
            f"{one.value} of {one.distribution} {one.version}" for one in namesakes
        )
        return partial(
            _refuse,
            f"is offered twice, by {homes}; neither is used until one of them is uninstalled",
        )
    aliases = names_of["".join(first.value.split())]
    if len(aliases) > 1:
        names = " and ".join(repr(name) for name in sorted(aliases))
        return partial(
            _refuse, f"is {first.value}, which is installed under the names {names}; keep one"
        )
    return partial(load_candidate, first)


def _refuse(reason: str) -> Offer:
    raise PluginError(reason)
