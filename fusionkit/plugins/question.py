"""Asks one plugin what it offers, and takes no answer on trust."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pluggy

from fusionkit import hookspecs
from fusionkit.errors import PluginError, did_you_mean

__all__ = ["Offer", "ask", "check_factory", "check_name"]

PREFIX = "fusionkit_"
KINDS = ("backbones", "heads")


@dataclass(frozen=True, slots=True)
class Offer:
    """What one plugin answered.

    Attributes:
        backbones: factories of backbones by name, without the plugin's own name.
        heads: factories of heads by name, likewise.
        notes: what it changed for everybody while it was loaded, all set back.
    """

    backbones: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    heads: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def ask(plugin: object) -> Offer:
    """Gives what a plugin offers, from a plugin manager that holds no other plugin.

    Args:
        plugin: a module or an object whose functions are marked with ``fusionkit.hookimpl``.

    Raises:
        PluginError: says what is wrong with the plugin, without its name.
    """
    if inspect.isclass(plugin):
        raise PluginError(
            f"is the class {plugin.__name__}, not an instance of it: write "
            f"`plugin = {plugin.__name__}()` in its module, and end the entry point in ':plugin'"
        )
    _check_api(plugin)
    manager = pluggy.PluginManager("fusionkit")
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(plugin)
    except (pluggy.PluginValidationError, ValueError) as error:
        raise PluginError(
            f"has a hook that cannot be called: {' '.join(str(error).split())}"
        ) from None
    _check_hooks(plugin, manager)
    answers = {kind: _call(getattr(manager.hook, PREFIX + kind)) for kind in KINDS}
    return Offer(backbones=answers["backbones"], heads=answers["heads"])


def check_name(name: object) -> None:
    """Refuses a name that could not be written in a recipe or on a command line."""
    if not isinstance(name, str):
        raise PluginError(f"gives the name {name!r}; names are strings")
    if not name or name != name.strip() or not name.isprintable():
        raise PluginError(
            f"gives the name {name!r}; a name is printable and has no spaces around it"
        )


def check_factory(name: str, factory: object) -> None:
    """Refuses what cannot build anything: an uncallable value, or a coroutine function."""
    if inspect.iscoroutinefunction(factory):
        raise PluginError(f"gives a coroutine function as the factory of {name!r}; write plain def")
    if not callable(factory):
        raise PluginError(
            f"gives {_short(factory)} as the factory of {name!r}; it must be callable"
        )


def _check_api(plugin: object) -> None:
    version = getattr(plugin, "fusionkit_api", hookspecs.API_VERSION)
    supported = hookspecs.API_VERSION
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise PluginError(
            f"has fusionkit_api = {_short(version)}; it is a whole number from 1 on, "
            f"now {supported}"
        )
    if version > supported:
        raise PluginError(
            f"needs version {version} of the plugin interface, but this fusionkit has version "
            f"{supported}: install a newer torch-fusionkit, or an older release of the plugin"
        )


def _check_hooks(plugin: object, manager: pluggy.PluginManager) -> None:
    callers = manager.get_hookcallers(plugin) or []
    for caller in callers:
        if not caller.has_spec():
            raise PluginError(
                f"answers {caller.name!r}, which is no hook of fusionkit."
                + did_you_mean(caller.name.removeprefix(PREFIX), KINDS, PREFIX)
            )
    manager.check_pending()
    answered = {caller.name for caller in callers}
    for name in dir(plugin):
        if name.startswith(PREFIX) and name not in answered:
            value = getattr(plugin, name)
            if inspect.isroutine(value) and not hasattr(value, "fusionkit_impl"):
                raise PluginError(
                    f"has {name!r} without the mark: write @fusionkit.hookimpl above it"
                )
    if not callers:
        kind = "module" if isinstance(plugin, ModuleType) else "object"
        raise PluginError(
            f"answers none of fusionkit's hooks: give the {kind} a function "
            f"{' or '.join(PREFIX + kind for kind in KINDS)}, marked with @fusionkit.hookimpl"
        )


def _call(caller: pluggy.HookCaller) -> Mapping[str, Callable[..., Any]]:
    implementations = caller.get_hookimpls()
    if not implementations:
        return {}
    if len(implementations) > 1:
        raise PluginError(f"answers {caller.name} {len(implementations)} times; merge the answers")
    if implementations[0].hookwrapper or implementations[0].wrapper:
        raise PluginError(f"wraps {caller.name}; there is nothing to wrap, so answer it plainly")
    try:
        results = caller()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PluginError(f"failed in {caller.name}: {type(error).__name__}: {error}") from error
    return _check_answer(caller.name, results[0] if results else None)


def _check_answer(hook: str, answer: Any) -> Mapping[str, Callable[..., Any]]:
    if inspect.iscoroutine(answer):
        answer.close()
        raise PluginError(f"answers {hook} with a coroutine; write plain def, not async def")
    if not isinstance(answer, Mapping):
        raise PluginError(
            f"answers {hook} with {_short(answer)}; it must give a mapping of names to factories"
        )
    if isinstance(answer, dict):  # any other mapping may be lazy, and is checked as it is read
        for name, factory in answer.items():
            check_name(name)
            check_factory(name, factory)
    return answer


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"a {type(value).__name__}"
