"""The scalars of YAML 1.2's core schema: which plain words are numbers, booleans and null."""

from __future__ import annotations

import math
import re

import yaml

__all__ = ["add_core_scalars", "read_scalar"]

MAX_DIGITS = 1_000

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL_OR_HEX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def read_scalar(text: str) -> str | int | float | bool | None:
    """Gives the value of a plain (unquoted) scalar.

    Raises:
        ValueError: a number is not finite, or too long to be meant.
    """
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text in ("true", "True", "TRUE")
    if _INT.fullmatch(text):
        return int(_short(text), 10)
    if _OCTAL_OR_HEX.fullmatch(text):
        return int(_short(text), 0)
    if _FLOAT.fullmatch(text):
        value = float(text)
        if math.isfinite(value):
            return value
        raise ValueError(f"the number {text[:40]} is not finite")
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"the number {text} is not finite")
    return text


def add_core_scalars(dumper: type[yaml.SafeDumper]) -> None:
    """Tells a dumper which words it must quote when they are text."""
    for tag, pattern in (
        ("null", _NULL),
        ("bool", _BOOL),
        ("int", _INT),
        ("int", _OCTAL_OR_HEX),
        ("float", _FLOAT),
        ("float", _NOT_FINITE),
    ):
        whole = re.compile(rf"(?:{pattern.pattern})\Z")
        dumper.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", whole, None)


def _short(digits: str) -> str:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a whole number of {len(digits):,} digits")
    return digits
