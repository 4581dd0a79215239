"""Exchanges, adds and drops branches, and exchanges the head; all else stays bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from fusionkit.catalog import Catalog
from fusionkit.errors import ConfigError
from fusionkit.model.fused import FusedModel
from fusionkit.recipe.values import Branch, Head, Recipe
from fusionkit.surgery.edit_report import EditReport
from fusionkit.surgery.graft import graft
from fusionkit.surgery.kept_head import keep_head
from fusionkit.surgery.subject import check_branch, check_model, check_unchanged

__all__ = ["Edited", "add_branch", "drop_branch", "replace_branch", "replace_head"]


class Edited(NamedTuple):
    """A new model made of another, and what of it stayed.

    Attributes:
        model: shares no memory with the old one, which is as it was.
        report: what was kept and what is new; ``print`` it.
    """

    model: FusedModel
    report: EditReport


def replace_branch(
    model: FusedModel,
    name: str,
    branch: Branch,
    *,
    head: Head | str | None = None,
    catalog: Catalog | None = None,
) -> Edited:
    """Gives a model with another branch under the same name, with the weights that it asks for.

    The other branches stay bit for bit, with their policies, and so do the epoch, the device and
    the mode. Nothing is downloaded for them. Of the head stays what belongs to one of them alone,
    such as its classifier; the rest is new and has to be trained.

    Args:
        model: as ``compose`` or ``load`` gave it; it is left as it is.
        name: of the branch that goes.
        branch: what takes its place.
        head: another head; by default the same one, built anew for its branches.
        catalog: where names are looked up; by default all installed plugins.

    Raises:
        ConfigError: there is no such branch, or a name or an option is wrong.
        AssemblyError: the parts do not fit each other, or the model was changed by hand.
        CheckpointError: the new branch's weights cannot be had or do not fit.
    """
    check_branch(name, check_model("replace_branch", model).recipe.branches)
    return _edit(model, name, {**model.recipe.branches, name: branch}, head, catalog)


def add_branch(
    model: FusedModel,
    name: str,
    branch: Branch,
    *,
    head: Head | str | None = None,
    catalog: Catalog | None = None,
) -> Edited:
    """Gives a model with one more branch, with the weights that it asks for.

    What stays and what is refused is as for ``replace_branch``.

    Args:
        model: as ``compose`` or ``load`` gave it; it is left as it is.
        name: of the new branch.
        branch: the new branch.
        head: another head; by default the same one, built anew for its branches.
        catalog: where names are looked up; by default all installed plugins.
    """
    if name in check_model("add_branch", model).recipe.branches:
        raise ConfigError(
            f"the model has a branch {name!r} already; write replace_branch(model, {name!r}, ...) "
            "or give the new one another name"
        )
    return _edit(model, name, {**model.recipe.branches, name: branch}, head, catalog)


def drop_branch(
    model: FusedModel,
    name: str,
    *,
    head: Head | str | None = None,
    catalog: Catalog | None = None,
) -> Edited:
    """Gives a model without one of its branches.

    What stays and what is refused is as for ``replace_branch``. A head whose options name the
    branch has to be given anew.

    Args:
        model: as ``compose`` or ``load`` gave it; it is left as it is.
        name: of the branch that goes.
        head: another head; by default the same one, built anew for its branches.
        catalog: where names are looked up; by default all installed plugins.
    """
    check_branch(name, check_model("drop_branch", model).recipe.branches)
    rest = {key: branch for key, branch in model.recipe.branches.items() if key != name}
    if not rest:
        raise ConfigError(f"{name!r} is the model's only branch; exchange it with replace_branch")
    return _edit(model, name, rest, head, catalog)


def replace_head(
    model: FusedModel,
    head: Head | str,
    *,
    num_classes: int | None = None,
    catalog: Catalog | None = None,
) -> Edited:
    """Gives a model of the same branches with a new head, and with other classes if asked for.

    No tensor of the old head stays. Branches keep the stock classifiers that they have, unless
    the number of classes changes.

    Args:
        model: as ``compose`` or ``load`` gave it; it is left as it is.
        head: the new head; its name alone will do where it needs no options.
        num_classes: how many classes the new model tells apart; by default as many as the old.
        catalog: where names are looked up; by default all installed plugins.

    Raises:
        ConfigError: a name or an option is wrong.
        AssemblyError: the parts do not fit each other, or the model was changed by hand.
    """
    recipe = check_model("replace_head", model).recipe
    check_unchanged(model)
    branches = recipe.branches
    if num_classes not in (None, recipe.num_classes):
        branches = {name: replace(each, classifier=False) for name, each in branches.items()}
    count = num_classes or recipe.num_classes
    classes = recipe.classes if count == recipe.num_classes else ()
    recipe = Recipe(branches, _head(head), count, recipe.preprocess, classes)
    new, kept = graft(model, recipe, recipe.branches, catalog or Catalog.installed())
    return Edited(new, EditReport.compare(model.state_dict(), new.state_dict(), kept))


def _edit(
    model: FusedModel,
    changed: str,
    branches: Mapping[str, Branch],
    head: Head | str | None,
    catalog: Catalog | None,
) -> Edited:
    check_unchanged(model)
    catalog = catalog or Catalog.installed()
    recipe = replace(
        model.recipe,
        branches=branches,
        head=model.recipe.head if head is None else _head(head),
    )
    staying = [name for name in branches if name != changed]
    new, kept = graft(model, recipe, staying, catalog)
    kept += keep_head(model, new, changed, catalog)
    return Edited(new, EditReport.compare(model.state_dict(), new.state_dict(), kept))


def _head(head: Head | str) -> Head:
    return Head(head) if isinstance(head, str) else head
