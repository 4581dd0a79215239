"""Whether a plugin's names can be written and looked up."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fusionkit.errors import FusionKitError
from fusionkit.plugins.plugin import Kind
from fusionkit.testing.check import Check, Finding, check
from fusionkit.testing.plugins.subject import PluginSubject

__all__ = ["CHECKS"]

NAME = re.compile(r"[A-Za-z0-9_][\w.+@:-]*(/[\w.+@:-]+)*", re.ASCII)
NONSENSE = "no such name 0"
KINDS: tuple[Kind, ...] = ("backbone", "head")


def _mappings(subject: PluginSubject) -> Iterator[tuple[Kind, Mapping[str, Callable[..., Any]]]]:
    yield "backbone", subject.offer.backbones
    yield "head", subject.offer.heads


@check("offer at least one backbone or head under a name that can be written")
def names_can_be_written(subject: PluginSubject) -> Iterator[Finding]:
    """Its names are of letters, digits and ``_ - . + @ : /``, each once, without its own before."""
    listed = {kind: subject.listed(kind) for kind in KINDS}
    if not any(listed.values()):
        yield Finding("it lists no name at all", "give at least one backbone or head")
    for kind, names in listed.items():
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            yield Finding(f"{kind} {twice[0]!r} is listed twice", "list each name once")
        odd = [name for name in names if not NAME.fullmatch(name)]
        if odd:
            yield Finding(
                f"{len(odd)} names of {kind}s cannot be typed on a command line as they are, "
                f"for example {odd[0]!r}",
                "write letters, digits, '_', '-', '.', '+', '@', ':' and '/' between words",
            )
        doubled = [name for name in names if name.startswith(f"{subject.name}/")]
        if doubled:
            yield Finding(
                f"{kind} {doubled[0]!r} would be written '{subject.name}/{doubled[0]}'",
                "leave the plugin's own name out; fusionkit writes it before each",
            )


@check("raise KeyError from the mapping for a name that is not there")
def unknown_names_are_key_errors(subject: PluginSubject) -> Iterator[Finding]:
    """Looking up a name that it does not have is a ``KeyError``, and each listed name is there."""
    todo = "let __getitem__ raise KeyError(name) for a name that is not there"
    for kind, mapping in _mappings(subject):
        try:
            found: object = mapping[NONSENSE]
        except (KeyError, FusionKitError):
            pass
        except Exception as error:  # anything else is what is looked for
            yield Finding(
                f"looking up a {kind} {NONSENSE!r} gives {type(error).__name__}: {error!s:.200}",
                todo,
            )
        else:
            if not callable(found):
                yield Finding(
                    f"looking up a {kind} {NONSENSE!r} gives {found!r:.80}, no factory", todo
                )
        if len(mapping) != len(list(mapping)):
            yield Finding(
                f"the mapping of {kind}s says that it has {len(mapping)} names, and lists "
                f"{len(list(mapping))}",
                "make __len__ and __iter__ agree",
            )


CHECKS: tuple[Check[PluginSubject], ...] = (names_can_be_written, unknown_names_are_key_errors)
