"""``Plugin``: one plugin by name, imported when it is first asked for something."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import reduce
from importlib import import_module
from threading import RLock
from typing import Any, Literal

from fusionkit.errors import ConfigError, FusionKitError, PluginError, did_you_mean
from fusionkit.plugins.discovery import GROUP, Candidate
from fusionkit.plugins.guard import undo_side_effects
from fusionkit.plugins.question import Offer, ask, check_factory, check_name

__all__ = ["OWN_HEADS", "Kind", "Plugin", "load_candidate"]

Kind = Literal["backbone", "head"]

OWN_HEADS = "heads"
"""The plugin whose heads go without its name before them: fusionkit's own."""

PLUGIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
NAME_RULE = "it is a letter or digit, then letters, digits, '_', '-' and '.'"
VALUE = re.compile(r"(?P<module>\w+(\.\w+)*)\s*(:\s*(?P<attribute>\w+(\.\w+)*))?\s*(\[.*\])?")


class Plugin:
    """One namespace: who offers it, and what it offers once it is asked.

    A plugin that cannot be used is one too; it says why when it is asked, and not before.

    Attributes:
        name: the first segment of the names of all that it offers.
        distribution: what was installed, or ``None`` for a plugin given in Python.
        version: that distribution's version, or the given plugin's ``__version__``.
        blocked: why the user keeps it out, or ``None``.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[], Offer],
        *,
        distribution: str | None = None,
        version: str | None = None,
        blocked: str | None = None,
    ) -> None:
        self.name = name
        self.distribution = distribution
        self.version = version
        self.blocked = blocked
        self._load = load
        self._lock = RLock()
        self._loading = False
        self._offer: Offer | None = None
        self._failure: tuple[str, BaseException | None] | None = None

    @classmethod
    def given(cls, name: str, plugin: object, version: str | None) -> Plugin:
        """Gives a plugin that is there already, and asks it at once.

        Raises:
            PluginError: the name cannot be a namespace, or the plugin breaks its contract.
        """
        if not PLUGIN_NAME.fullmatch(name):
            raise PluginError(f"{name!r} cannot be a plugin's name: {NAME_RULE}")
        given = cls(name, lambda: ask(plugin), version=version)
        given.offer()
        return given

    def __repr__(self) -> str:
        return f"Plugin({self.name!r}, {self.origin})"

    @property
    def origin(self) -> str:
        """The distribution and version that it came from, in words."""
        if self.distribution is None:
            return "given in Python"
        return f"{self.distribution} {self.version or ''}".strip()

    @property
    def failed(self) -> bool:
        """Whether it was asked and cannot be used."""
        return self._failure is not None

    def prefix(self, kind: Kind) -> str:
        """Gives what stands before the names of what it offers."""
        return "" if kind == "head" and self.name == OWN_HEADS else f"{self.name}/"

    def offer(self) -> Offer:
        """Gives what the plugin offers, and imports it at the first call.

        Raises:
            PluginError: it is blocked, clashes with another, or failed; says which.
        """
        if self.blocked is not None:
            raise PluginError(f"plugin {self.name!r} is {self.blocked}")
        with self._lock:
            if self._offer is None and self._failure is None:
                self._ask_once()
            if self._failure is not None:
                message, cause = self._failure
                raise PluginError(message) from cause
            assert self._offer is not None
            return self._offer

    def names(self, kind: Kind) -> list[str]:
        """Gives the names of what it offers, sorted, without its own name before them.

        Raises:
            PluginError: the plugin cannot be used, or fails while it lists them.
        """
        offered = self._offered(kind)
        try:
            names = list(offered)
        except (Exception, SystemExit) as error:
            raise self._blame(f"failed to list its {kind}s", error) from error
        for name in names:
            try:
                check_name(name)
            except PluginError as error:
                raise self._blame(str(error)) from None
        return sorted(names)

    def factory(self, kind: Kind, name: str) -> Callable[..., Any]:
        """Gives the factory of one name.

        Raises:
            ConfigError: the plugin knows no such name; tells up to three near ones.
            PluginError: the plugin cannot be used, or fails at this name.
        """
        offered = self._offered(kind)
        try:
            factory = offered[name]
        except KeyError as error:
            names = self.names(kind)
            if name in names:
                raise self._blame(f"failed to give the {kind} {name!r}", error) from error
            if not names:
                raise ConfigError(
                    f"plugin {self.name!r} ({self.origin}) offers no {kind}s"
                ) from None
            raise ConfigError(
                f"plugin {self.name!r} has no {kind} {name!r}."
                + did_you_mean(name, names, self.prefix(kind))
            ) from None
        except FusionKitError:
            raise
        except (Exception, SystemExit) as error:
            raise self._blame(f"failed to give the {kind} {name!r}", error) from error
        try:
            check_factory(name, factory)
        except PluginError as error:
            raise self._blame(str(error)) from None
        return factory

    def _offered(self, kind: Kind) -> Mapping[str, Callable[..., Any]]:
        offer = self.offer()
        return offer.backbones if kind == "backbone" else offer.heads

    def _ask_once(self) -> None:
        if self._loading:
            raise self._blame("asks for its own name while it is being loaded")
        self._loading = True
        try:
            self._offer = self._load()
        except KeyboardInterrupt:
            raise
        except PluginError as error:
            self._failure = (str(self._blame(str(error))), error.__cause__)
        finally:
            self._loading = False

    def _blame(self, what: str, error: BaseException | None = None) -> PluginError:
        cause = f": {_describe(error)}" if error is not None else ""
        message = f"plugin {self.name!r} ({self.origin}) {what}{cause}"
        if self.distribution is None:
            return PluginError(message)
        stop = "" if message.endswith((".", "?", "!")) else "."
        return PluginError(
            f"{message}{stop} Repair or uninstall it, or set "
            f"FUSIONKIT_DISABLE_PLUGINS={self.name} to go on without it"
        )


def load_candidate(candidate: Candidate) -> Offer:
    """Imports a plugin and gives what it offers; what it changes for everybody is undone.

    Raises:
        PluginError: says what is wrong with the plugin, without its name.
    """
    if not PLUGIN_NAME.fullmatch(candidate.name):
        raise PluginError(f"cannot have this name: {NAME_RULE}")
    value = VALUE.fullmatch(candidate.value)
    if value is None:
        raise PluginError(
            f"has the entry point {candidate.value!r}, which names no module: write "
            f"'{candidate.name} = package.module' in the group {GROUP!r}"
        )
    with undo_side_effects() as notes:
        offer = ask(_import(value["module"], value["attribute"]))
    return replace(offer, notes=tuple(notes))


def _import(module: str, attribute: str | None) -> object:
    try:
        plugin: object = import_module(module)
        return reduce(getattr, attribute.split("."), plugin) if attribute else plugin
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit, and panics of extension modules, too
        raise PluginError(f"could not be imported: {_describe(error)}") from error


def _describe(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
