"""Which options torchvision's builders take, and in which form."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from fusionkit import OptionError, did_you_mean
from fusionkit.providers.torchvision.families import Family
from fusionkit.providers.torchvision.weights import WeightsEntry

__all__ = ["check_options", "to_arguments"]

# Auxiliary classifiers never reach the trunk, and the number of classes is the core's business.
DECIDED = frozenset({"num_classes", "aux_logits", "dropout_aux", "init_weights"})


def check_options(
    name: str, family: Family, model: type, in_channels: int, options: Mapping[str, Any]
) -> None:
    """Refuses an option that the model does not have.

    torchvision itself passes any name on, and some of its classes swallow it.

    Raises:
        OptionError: names the option and near ones.
    """
    arguments = inspect.signature(model).parameters.values()
    known = {value.name for value in arguments if value.kind is not value.VAR_KEYWORD}
    known = (known | {*family.options}) - DECIDED
    for option in options:
        if option not in known:
            raise OptionError(
                f"torchvision/{name} has no option {option!r}.{did_you_mean(option, known)}"
            )
    if options.get("transform_input") and in_channels != 3:
        raise OptionError(
            f"torchvision/{name} cannot have transform_input with in_channels={in_channels}: it "
            "re-normalises red, green and blue; leave it out"
        )


def to_arguments(
    family: Family, entry: WeightsEntry | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Gives what the builder is called with: lists of a recipe are tuples to torchvision."""
    arguments = {
        key: tuple(value) if isinstance(value, list) else value for key, value in options.items()
    }
    if family.auxiliary and entry is None:
        arguments |= {"aux_logits": False, "init_weights": True}
    return arguments
