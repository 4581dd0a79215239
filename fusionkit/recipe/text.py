"""Strict readers for YAML and JSON: what they accept means one thing only."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Hashable
from typing import Any, NoReturn

import yaml

from fusionkit.errors import ConfigError

__all__ = ["parse_json", "parse_yaml"]

MAX_BYTES = 1_000_000
MAX_DEPTH = 32
MAX_ALIASES = 64


def parse_yaml(text: str, source: str) -> Any:
    """Parses one YAML document with the scalars of YAML 1.2.

    ``1e-4`` is a number; ``NO``, ``010`` and ``12:30`` are not a boolean, an octal and a time.
    Duplicate keys, deep nesting, many aliases, tags and more than one megabyte are refused.

    Raises:
        ConfigError: names ``source`` and the line.
    """
    _check_size(text, source)
    try:
        _check_events(text, source)
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader of our own
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        raise ConfigError(f"{source}{line}: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not YAML: {error}") from error


def parse_json(text: str, source: str) -> Any:
    """Parses JSON; duplicate keys, NaN, infinities and deep nesting are refused.

    Raises:
        ConfigError: names ``source``.
    """
    _check_size(text, source)
    _check_depth(text, source)

    def refuse_constant(constant: str) -> NoReturn:
        raise ConfigError(f"{source}: {constant} is not a JSON number")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in pairs:
            if key in result:
                raise ConfigError(f"{source}: the key {key!r} stands twice in one object")
            result[key] = value
        return result

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{source}: not JSON: {error}") from error


class _StrictLoader(yaml.SafeLoader):
    """A SafeLoader that resolves only the scalars of YAML 1.2 and refuses duplicate keys."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"a key must be text, got {key!r}", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def _construct_float(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    value = float(str(loader.construct_scalar(node)))
    if not math.isfinite(value):
        raise yaml.constructor.ConstructorError(
            None, None, f"the number {node.value!r} is not finite", node.start_mark
        )
    return value


def _construct_int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    return int(str(loader.construct_scalar(node)), 10)


_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]
)
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]{0,18})$"), list("-+0123456789")
)
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)
_StrictLoader.add_constructor("tag:yaml.org,2002:float", _construct_float)
_StrictLoader.add_constructor("tag:yaml.org,2002:int", _construct_int)


def _check_size(text: str, source: str) -> None:
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{source}: {len(text):,} characters, more than {MAX_BYTES:,} allowed")


def _check_events(text: str, source: str) -> None:
    depth = aliases = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
        line = event.start_mark.line + 1
        if depth > MAX_DEPTH:
            raise ConfigError(f"{source}:{line}: nested deeper than {MAX_DEPTH} levels")
        if aliases > MAX_ALIASES:
            raise ConfigError(f"{source}:{line}: more than {MAX_ALIASES} aliases")


def _check_depth(text: str, source: str) -> None:
    depth = 0
    outside_strings = re.sub(r'"(?:[^"\\]|\\.)*"', "", text)
    for character in outside_strings:
        if character in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ConfigError(f"{source}: nested deeper than {MAX_DEPTH} levels")
        elif character in "]}":
            depth -= 1
