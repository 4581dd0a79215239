"""What ``compare`` compares: the ways to transfer that tutorials name, and the parts alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from fusionkit.policy.freeze import Freeze
from fusionkit.policy.lr import LR
from fusionkit.policy.presets import (
    Preset,
    discriminative_fine_tuning,
    feature_extraction,
    gradual_unfreezing,
)
from fusionkit.recipe.values import Branch, Head, Recipe

__all__ = ["AS_WRITTEN", "Contender", "contenders"]

AS_WRITTEN = "as written"


@dataclass(frozen=True, slots=True)
class Contender:
    """One model of a comparison.

    Attributes:
        title: what it is.
        recipe: of the model.
        alone: whether it is one of the recipe's branches by itself.
    """

    title: str
    recipe: Recipe
    alone: bool = False


def contenders(recipe: Recipe, epochs: int) -> tuple[Contender, ...]:
    """Gives the models to compare with a recipe, none twice, the recipe itself first.

    Each branch alone, their average and their concatenation keep the recipe's policies; the four
    ways to transfer keep its head: from scratch, feature extraction, discriminative fine-tuning
    (arXiv:1801.06146), gradual unfreezing.

    Args:
        recipe: what is compared.
        epochs: of the run, over which gradual unfreezing is spread.
    """
    found = [Contender(AS_WRITTEN, recipe)]
    if len(recipe.branches) > 1:
        for name, branch in recipe.branches.items():
            single = replace(recipe, branches={name: branch}, head=Head("concat"))
            found.append(Contender(f"{name} alone", single, alone=True))
        found.append(Contender("average", replace(recipe, head=Head("mean_probabilities"))))
        found.append(Contender("concat", replace(recipe, head=Head("concat"))))
    found.append(Contender("from scratch", _with(recipe, _scratch)))
    for preset in (
        feature_extraction(),
        discriminative_fine_tuning(),
        gradual_unfreezing(start=max(1, epochs // 5), every=max(1, epochs // 10)),
    ):
        found.append(Contender(preset.name, _with(recipe, _applied(preset))))
    first: dict[str, Contender] = {}
    for each in found:
        first.setdefault(repr(each.recipe), each)
    return tuple(first.values())


def _with(recipe: Recipe, change: Callable[[Branch], Branch]) -> Recipe:
    return replace(recipe, branches={name: change(each) for name, each in recipe.branches.items()})


def _scratch(branch: Branch) -> Branch:
    return replace(branch, weights=None, freeze=Freeze.none(), lr=LR())


def _applied(preset: Preset) -> Callable[[Branch], Branch]:
    return lambda branch: replace(branch, freeze=preset.freeze, lr=preset.lr)
