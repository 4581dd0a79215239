"""Calls what plugins give, and says whose call it was when that goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fusionkit import errors
from fusionkit.errors import AssemblyError, FusionKitError, OptionError

__all__ = ["call_factory", "located", "reworded"]


def call_factory(
    name: str, factory: Callable[..., Any], arguments: tuple[Any, ...], options: Mapping[str, Any]
) -> Any:
    """Gives what a factory builds.

    Raises:
        FusionKitError: what the factory itself raises of these, as it is.
        OptionError: the factory passes its options on, and someone did not take them.
        AssemblyError: the factory failed in any other way.
    """
    try:
        return factory(*arguments, **options)
    except FusionKitError:
        raise
    except TypeError as error:
        raise OptionError(f"{name!r} does not take these options: {error}") from error
    except Exception as error:
        raise AssemblyError(
            f"the factory of {name!r} failed: {type(error).__name__}: {error}"
        ) from error


def located(error: FusionKitError, where: str) -> FusionKitError:
    """Gives the same error with the place before its message."""
    return reworded(error, f"{where}: {error}")


def reworded(error: FusionKitError, message: str) -> FusionKitError:
    """Gives the same error with another message.

    A plugin's own subclass may need other arguments, so the copy is of the class of fusionkit's
    that it stands for.
    """
    kind = next(each for each in type(error).__mro__ if each.__module__ == errors.__name__)
    copy: FusionKitError = kind(message)
    return copy
