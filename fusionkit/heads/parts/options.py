"""What options of heads may be, and what to write where one is not."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeGuard

from fusionkit import ConfigError, did_you_mean

__all__ = [
    "check_choice",
    "check_dropout",
    "check_flag",
    "check_width",
    "check_widths",
    "is_number",
    "is_word",
    "listed",
    "per_branch",
    "refuse_unknown_branches",
]


def per_branch(option: str, value: Any, names: Sequence[str], missing: Any) -> dict[str, Any]:
    """Gives a value for each branch, from one value for all or a mapping by branch name.

    Args:
        option: the option's name, for the error.
        value: one value, or a mapping in which branches may be left out.
        names: the branches.
        missing: what a branch that the mapping leaves out gets.

    Raises:
        ConfigError: the mapping names a branch that is not there.
    """
    if not isinstance(value, Mapping):
        return dict.fromkeys(names, value)
    refuse_unknown_branches(option, value, names)
    return {name: value.get(name, missing) for name in names}


def refuse_unknown_branches(option: str, given: Collection[str], names: Sequence[str]) -> None:
    """Refuses names that are no branch's."""
    for name in given:
        if name not in names:
            hint = did_you_mean(str(name), names) or f" The branches are {listed(names)}."
            raise ConfigError(f"option {option}: there is no branch {name!r}.{hint}")


def check_choice(option: str, value: object, choices: Sequence[str]) -> str:
    """Gives ``value`` if it is one of ``choices``."""
    if is_word(value, *choices):
        return value
    hint = did_you_mean(value, choices) if isinstance(value, str) else ""
    raise ConfigError(f"option {option} is {listed(choices, 'or')}, got {value!r}.{hint}")


def is_word(value: object, *words: str) -> TypeGuard[str]:
    """Tells whether ``value`` is one of ``words``; an array is none."""
    return isinstance(value, str) and value in words


def check_width(option: str, value: object) -> int:
    """Gives ``value`` if it is a whole number of at least 1."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise ConfigError(f"option {option} takes a whole number of at least 1, got {value!r}")


def check_widths(option: str, value: object) -> tuple[int, ...]:
    """Gives the widths of layers from ``None``, one number or a list of numbers."""
    if value is None:
        return ()
    if isinstance(value, (list, tuple)):
        return tuple(check_width(option, width) for width in value)
    return (check_width(option, value),)


def is_number(value: Any) -> bool:
    """Tells whether ``value`` is a number that a float holds, and no boolean."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max


def check_dropout(value: Any) -> float:
    """Gives ``value`` if it is a share in [0, 1)."""
    if is_number(value) and 0 <= value < 1:
        return float(value)
    raise ConfigError(
        f"option dropout takes the share that is dropped, from 0 up to but not "
        f"including 1, got {value!r}"
    )


def check_flag(option: str, value: object) -> bool:
    """Gives ``value`` if it is ``True`` or ``False``."""
    if isinstance(value, bool):
        return value
    raise ConfigError(f"option {option} is True or False, got {value!r}")


def listed(names: Sequence[str], last: str = "and") -> str:
    """Gives ``"'a', 'b' and 'c'"``; of more than eight names, the first and the last few."""
    quoted = [repr(name) for name in names]
    if len(quoted) > 8:
        quoted = [*quoted[:4], "...", *quoted[-3:]]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} {last} {quoted[-1]}"
