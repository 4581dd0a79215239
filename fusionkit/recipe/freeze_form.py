"""How a freeze policy stands in a file: ``all``, ``{last: 2}``, ``{gradual: {every: 2}}``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from fusionkit.errors import ConfigError, PolicyError, did_you_mean
from fusionkit.policy.freeze import RULES, Freeze

__all__ = ["freeze_from_data", "freeze_to_data"]

MODES = ("norm", "dropout")
SCHEDULES: dict[str, tuple[str, ...]] = {
    "gradual": ("start", "every", "stages"),
    "on_plateau": ("metric", "patience", "stages", "mode", "min_delta", "start"),
}


def freeze_to_data(freeze: Freeze) -> Any:
    """Gives the policy as JSON-able data: the rule's name, or a mapping."""
    arguments: Any = {
        "last": freeze.count,
        "until": freeze.stage,
        "only": list(freeze.patterns),
        **{
            rule: {field: getattr(freeze, field) for field in fields}
            for rule, fields in SCHEDULES.items()
        },
    }.get(freeze.rule)
    modes = {mode: getattr(freeze, mode) for mode in MODES if getattr(freeze, mode) != "follow"}
    if arguments is None:
        return {freeze.rule: True, **modes} if modes else freeze.rule
    return {freeze.rule: arguments, **modes}


def freeze_from_data(data: Any, where: str) -> Freeze:
    """Builds a policy from what ``freeze_to_data`` gives, or from its short forms.

    Args:
        data: plain data.
        where: the source and the path of the field, which errors name.

    Raises:
        ConfigError: says what is wrong and what to write instead.
    """
    if isinstance(data, str):
        _check_rule(data, where)
        if data in ("last", "until", "only"):
            raise ConfigError(f"{where}: {data!r} needs a value, for example {_EXAMPLES[data]}")
        data = {data: True}
    if not isinstance(data, Mapping):
        raise ConfigError(
            f"{where}: must be a rule such as 'all' or {_EXAMPLES['last']}, "
            f"got {json.dumps(data)[:80]}"
        )
    modes = {key: value for key, value in data.items() if key in MODES}
    rules = [key for key in data if key not in modes]
    for rule in rules:
        _check_rule(rule, f"{where}.{rule[:80]}")
    if len(rules) != 1:
        found = " and ".join(map(repr, rules)) or "none"
        raise ConfigError(f"{where}: takes exactly one of {', '.join(RULES)}; got {found}")
    rule = rules[0]
    try:
        return _make(rule, data[rule], modes, f"{where}.{rule}")
    except PolicyError as error:
        raise ConfigError(f"{where}: {error}") from error


_EXAMPLES = {
    "last": "{last: 2}",
    "until": "{until: layer3}",
    "only": "{only: [norm, bias]}",
    "gradual": "{gradual: {start: 2, every: 2}}",
    "on_plateau": "{on_plateau: {metric: val_loss, patience: 2}}",
}


def _make(rule: str, value: Any, modes: dict[str, Any], where: str) -> Freeze:
    if rule == "last":
        return Freeze.last(value, **modes)
    if rule == "until":
        return Freeze.until(value, **modes)
    if rule == "only":
        patterns = value if isinstance(value, list) else [value]
        return Freeze.only(*patterns, **modes)
    make: Callable[..., Freeze] = getattr(Freeze, rule)
    if rule in SCHEDULES and value is not True:
        return make(**_schedule_arguments(rule, value, where), **modes)
    if value is not True:
        raise ConfigError(f"{where}: takes no value; write '{rule}', or {{{rule}: true}}")
    return make(**modes)


def _schedule_arguments(rule: str, value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"{where}: must be a mapping, for example {_EXAMPLES[rule]}, "
            f"got {json.dumps(value)[:80]}"
        )
    known = SCHEDULES[rule]
    for key in value:
        if key not in known:
            hint = did_you_mean(key, known) or f" The fields are {', '.join(known)}."
            raise ConfigError(f"{where}.{key[:80]}: there is no such field.{hint}")
    return dict(value)


def _check_rule(rule: str, where: str) -> None:
    if rule not in RULES:
        hint = did_you_mean(rule, [*RULES, *MODES]) or f" The rules are {', '.join(RULES)}."
        raise ConfigError(f"{where}: Freeze has no rule {rule[:80]!r}.{hint}")
