"""Refuses options that a factory does not take, before it is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from fusionkit.errors import OptionError, did_you_mean

__all__ = ["check_options", "makes_classifiers"]


def check_options(
    name: str,
    factory: Callable[..., Any],
    arguments: tuple[Any, ...],
    given: Mapping[str, Any],
    options: Mapping[str, Any],
) -> None:
    """Refuses a call that does not fit the factory's signature.

    Args:
        name: of the backbone or head.
        factory: what will be called.
        arguments: by position.
        given: what the core passes by name.
        options: what the user wrote.

    Raises:
        OptionError: names the option and near names.
    """
    for option in options:
        if option in given:
            raise OptionError(
                f"{name!r} was given the option {option!r}, which is not written among the "
                f"options: it comes from the recipe's own field, {FIELDS.get(option, option)}"
            )
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # some builtins tell nothing; the call itself will
        return
    try:
        signature.bind(*arguments, **given, **options)
    except TypeError as error:
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        takes = [key for key, value in signature.parameters.items() if value.kind in kinds]
        known = [key for key in takes[len(arguments) :] if key not in given]
        wrong = next((key for key in options if key not in known), "")
        if not wrong and not _takes_anything(signature) and any(k not in takes for k in given):
            raise OptionError(
                f"the factory of {name!r} cannot be called with {', '.join(given)} by name: "
                f"{error}; a plugin's factory takes them all"
            ) from error
        raise OptionError(
            f"{name!r} was given options it cannot take: {error}.{did_you_mean(wrong, known)}"
        ) from error


def makes_classifiers(factory: Callable[..., Any]) -> bool:
    """Tells whether a backbone's factory can make a classifier for any number of classes."""
    try:
        return NEW_CLASSIFIER in inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return False


def _takes_anything(signature: inspect.Signature) -> bool:
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    return inspect.Parameter.VAR_KEYWORD in kinds


NEW_CLASSIFIER = "new_classifier"
FIELDS = {
    "catalog": "catalog of compose",
    "in_channels": "Branch(in_channels=...)",
    "weights": "Branch(weights=...)",
    "num_classes": "num_classes of compose",
    NEW_CLASSIFIER: "Branch(classifier=True)",
}
