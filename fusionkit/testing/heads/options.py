"""Whether a head knows its options, and whether a recipe can hold them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import torch

from fusionkit.errors import ConfigError, FusionKitError
from fusionkit.recipe.values import Head
from fusionkit.testing.call import defaults_of
from fusionkit.testing.check import Check, Finding, NotApplicableError, check
from fusionkit.testing.heads.subject import HeadSubject

__all__ = ["CHECKS"]

NONSENSE = "no_such_option"


@check("let the factory's signature name every option, without **kwargs that swallow the rest")
def unknown_option(subject: HeadSubject) -> Iterator[Finding]:
    """An option that it does not know is a ``TypeError``."""
    case = subject.main
    todo = "name every option in the signature, and take no **kwargs, or raise TypeError"
    try:
        case.build(**{NONSENSE: 1})
    except TypeError:
        return
    except Exception as error:  # any other error hides what is wrong
        what = f"{NONSENSE}=1 gives {type(error).__name__}: {error!s:.200}"
        yield Finding(f"{what}, and no TypeError", todo)
        return
    yield Finding(f"{NONSENSE}=1 is taken without a word, as a misspelt option would be", todo)


@check("take options as a file gives them: text, numbers, lists, mappings")
def options_survive_a_recipe(subject: HeadSubject) -> Iterator[Finding]:
    """Options, given ones and defaults, build the same head from a recipe's file."""
    case = subject.main
    expected = case.answer()
    given = subject.options
    defaults = defaults_of(subject.factory, ("inputs", "num_classes", *given))
    if not given and not defaults:
        raise NotApplicableError("it has no options")
    for name, value in (*defaults.items(), *given.items()):
        try:
            written = Head("it", **{name: value})
        except ConfigError as error:
            yield Finding(
                f"option {name} cannot stand in a recipe: {error}",
                "take text, numbers, booleans, lists or mappings of these, not objects",
            )
            continue
        options = json.loads(json.dumps(dict(written.options)))
        try:
            answer = case.answer() if not options else _answer(subject, options)
        except FusionKitError as error:
            what = f"option {name} = {options[name]!r:.80} is refused: {error}"
            yield Finding(what, "take lists as well as tuples, and text as keys of mappings")
            continue
        if not torch.equal(answer, expected):
            yield Finding(
                f"option {name} = {options[name]!r:.80}, read from a file, builds another head",
                "take lists as well as tuples, and text as keys of mappings",
            )


def _answer(subject: HeadSubject, options: dict[str, Any]) -> torch.Tensor:
    case = subject.main
    return case.run(case.build(**options), case.features())


CHECKS: tuple[Check[HeadSubject], ...] = (unknown_option, options_survive_a_recipe)
