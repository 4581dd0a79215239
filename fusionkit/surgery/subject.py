"""What every operation asks of a model before it begins."""

from __future__ import annotations

from collections.abc import Iterable

from fusionkit.assembly.inventory import find_change
from fusionkit.errors import AssemblyError, ConfigError, did_you_mean
from fusionkit.model.fused import FusedModel

__all__ = ["check_branch", "check_model", "check_unchanged"]


def check_model(what: str, model: object) -> FusedModel:
    """Gives the model, if it is one that ``compose`` or ``load`` gave.

    Raises:
        ConfigError: it is something else, such as a wrapped model.
    """
    if isinstance(model, FusedModel):
        return model
    said = f"{what} takes a FusedModel, as compose or load gives it, got {type(model).__name__}"
    for wrapped in ("_orig_mod", "module"):
        if isinstance(getattr(model, wrapped, None), FusedModel):
            raise ConfigError(f"{said}; give its .{wrapped}, the model inside of it")
    raise ConfigError(said)


def check_branch(name: str, known: Iterable[str]) -> None:
    """Refuses the name of a branch that is not there.

    Raises:
        ConfigError: tells those that are.
    """
    branches = list(known)
    if name not in branches:
        raise ConfigError(
            f"the model has no branch {name!r:.80}, only {', '.join(map(repr, branches))}."
            f"{did_you_mean(str(name), branches)}"
        )


def check_unchanged(model: FusedModel) -> None:
    """Refuses a model to which something was added by hand, since no recipe tells of it.

    Raises:
        AssemblyError: says what was changed.
    """
    change = find_change(model)
    if change:
        raise AssemblyError(
            f"the model was changed since it was composed: {change}; no recipe says how, so it "
            "would be lost"
        )
