"""Strict readers and a writer for YAML and JSON: a text means one thing only."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import yaml

from fusionkit.errors import ConfigError
from fusionkit.recipe.document import Document
from fusionkit.recipe.plain import MAX_DEPTH
from fusionkit.recipe.scalars import add_core_scalars

__all__ = ["format_yaml", "parse_json", "parse_yaml"]

MAX_YAML = 250_000
MAX_JSON = 1_000_000


def parse_yaml(text: str, source: str) -> Any:
    """Parses one YAML document by the core schema of YAML 1.2.

    ``1e-4`` is a number, ``010`` is ten, and ``NO`` and ``12:30`` are text. Duplicate keys,
    keys that are not text, tags, merge keys, deep nesting, aliases that multiply, infinities
    and a second document are refused. An alias gives a copy.

    Raises:
        ConfigError: names ``source`` and the line.
    """
    _check_size(text, source, MAX_YAML)
    document = Document(source)
    try:
        # The parser in pure Python, though slower: the one in C takes other tabs and escapes.
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            document.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        raise ConfigError(f"{source}{line}: {error.problem or error.context}") from error
    except yaml.reader.ReaderError as error:
        line = f":{text.count(chr(10), 0, error.position) + 1}"
        raise ConfigError(
            f"{source}{line}: the character U+{error.character:04X} has no place in YAML"
        ) from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{source}: not YAML: {error}") from error
    return document.root


def parse_json(text: str, source: str) -> Any:
    """Parses JSON; duplicate keys, NaN, infinities and deep nesting are refused.

    Raises:
        ConfigError: names ``source``.
    """
    _check_size(text, source, MAX_JSON)
    _check_json_depth(text, source)

    def refuse_constant(constant: str) -> NoReturn:
        raise ConfigError(f"{source}: {constant} is not a JSON number")

    def read_float(digits: str) -> float:
        value = float(digits)
        if value in (float("inf"), float("-inf")):
            raise ConfigError(f"{source}: the number {digits[:40]} is too large")
        return value

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in pairs:
            if key in result:
                raise ConfigError(f"{source}: the key {key[:80]!r} stands twice in one object")
            result[key] = value
        return result

    try:
        return json.loads(
            text, object_pairs_hook=unique, parse_constant=refuse_constant, parse_float=read_float
        )
    except ConfigError:
        raise
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{source}: not JSON: {error}") from error


def format_yaml(data: Any) -> str:
    """Gives plain data as YAML that ``parse_yaml`` reads back equal, keys in their order."""
    text: str = yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False
    )
    return text


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.1 or YAML 1.2 would take for anything but text; writes no aliases."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # PyYAML folds the line breaks of Unicode away in every style but this.
    style = None if text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _write_text)
add_core_scalars(_Dumper)


def _check_size(text: str, source: str, most: int) -> None:
    if len(text) > most:
        raise ConfigError(f"{source}: {len(text):,} characters, more than the {most:,} allowed")


# A string without its closing quote matches as well, so that no position is scanned twice.
_JSON_STRING_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{}]', re.DOTALL)


def _check_json_depth(text: str, source: str) -> None:
    depth = 0
    for match in _JSON_STRING_OR_BRACKET.finditer(text):
        token = match.group()
        if token in ("[", "{"):
            depth += 1
            if depth > MAX_DEPTH:
                raise ConfigError(f"{source}: nested deeper than {MAX_DEPTH} levels")
        elif token in ("]", "}"):
            depth -= 1
