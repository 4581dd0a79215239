"""Refuses options that a factory does not take, before it is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from fusionkit.errors import OptionError, did_you_mean

__all__ = ["check_options"]


def check_options(
    name: str, factory: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]
) -> None:
    """Refuses a call that does not fit the factory's signature.

    Raises:
        OptionError: names the option and near names.
    """
    signature = inspect.signature(factory)
    try:
        signature.bind(*arguments, **options)
    except TypeError as error:
        known = [key for key in signature.parameters if key not in ("inputs", "self")]
        wrong = next((key for key in options if key not in signature.parameters), "")
        raise OptionError(
            f"{name!r} was given options it cannot take: {error}.{did_you_mean(wrong, known)}"
        ) from error
