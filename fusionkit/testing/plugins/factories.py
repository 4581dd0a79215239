"""Whether a plugin's factories can be called as fusionkit calls them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from fusionkit.assembly.options import check_options
from fusionkit.errors import FusionKitError
from fusionkit.testing.check import Check, Finding, check, describe_error
from fusionkit.testing.network import blocked_network
from fusionkit.testing.plugins.subject import Offered, PluginSubject
from fusionkit.testing.words import some

__all__ = ["CHECKS", "call"]

NONSENSE = "no_such_option"
CALL = {"in_channels": 3, "weights": None, "num_classes": None}


def call(offered: Offered, **more: Any) -> Any:
    """Gives what a backbone's factory builds without weights, without data where it can."""
    return offered.factory(**CALL, **offered.options, **more)


@check("take in_channels, weights and num_classes by keyword")
def factories_take_the_keywords(subject: PluginSubject) -> Iterator[Finding]:
    """Backbones take ``in_channels``, ``weights``, ``num_classes``; heads ``num_classes``."""
    for offered in (*subject.offered("backbone"), *subject.offered("head")):
        if offered.kind == "backbone":
            arguments, given = (), CALL
            signature = "def build(*, in_channels, weights, num_classes): ..."
        else:
            arguments, given = ({},), {"num_classes": 5}  # type: ignore[assignment]
            signature = "def __init__(self, inputs, *, num_classes): ..."
        try:
            check_options(offered.name, offered.factory, arguments, given, offered.options)
        except FusionKitError as error:
            yield Finding(str(error), f"write {signature}")


@check("build without network when weights is None")
def builds_without_network(subject: PluginSubject) -> Iterator[Finding]:
    """With ``weights=None`` every backbone is built without network, and none is reached for."""
    todo = (
        "download nothing unless weights says so; where a hub describes the architecture itself, "
        "name backbones that need none (check_plugin(..., backbones=[...])), or expect this"
    )
    for offered in subject.offered("backbone"):
        with blocked_network() as attempts:
            try:
                call(offered)
            except Exception as error:  # told by the backbone's own checks unless it phoned
                if attempts:
                    yield Finding(
                        f"backbone {offered.name!r} reaches for {some(attempts)}, and fails "
                        f"without: {type(error).__name__}: {error!s:.200}",
                        todo,
                    )
                continue
        if attempts:
            yield Finding(
                f"backbone {offered.name!r} reaches for {some(attempts)} with weights=None",
                todo,
            )


@check("name every option in the factory's signature")
def factories_refuse_unknown_options(subject: PluginSubject) -> Iterator[Finding]:
    """An option that a backbone's factory does not know is a ``TypeError``."""
    todo = "name every option in the signature, and take no **options, or raise TypeError"
    for offered in subject.offered("backbone"):
        what = f"backbone {offered.name!r} with {NONSENSE}=1"
        with blocked_network(), torch.random.fork_rng(devices=()):
            try:
                call(offered, **{NONSENSE: 1})
            except TypeError:
                continue
            except Exception as error:  # any other error hides what is wrong
                yield Finding(f"{what} gives {describe_error(error):.300}", todo)
                continue
        yield Finding(f"{what} is built without a word, as a misspelt option would be", todo)


@check("make available_weights a list of names, or a function that gives one")
def weights_can_be_listed(subject: PluginSubject) -> Iterator[Finding]:
    """``available_weights``, where a factory has it, gives names without network."""
    todo = "set factory.available_weights to a tuple of tags, or to a function that returns one"
    for offered in subject.offered("backbone"):
        known: Any = getattr(offered.factory, "available_weights", None)
        if known is None:
            continue
        with blocked_network() as attempts:
            try:
                listed = known() if callable(known) else known
                names = None if isinstance(listed, str) else list(listed)
            except Exception as error:  # a stranger's code raises what it likes
                yield Finding(
                    f"available_weights of {offered.name!r} fails: {type(error).__name__}: "
                    f"{error!s:.200}",
                    todo,
                )
                continue
        if attempts:
            what = f"available_weights of {offered.name!r} reaches for {some(attempts)}"
            yield Finding(what, "give the names that the distribution knows")
        if names is None or not all(isinstance(each, str) and each for each in names):
            yield Finding(f"available_weights of {offered.name!r} gives {listed!r:.120}", todo)


CHECKS: tuple[Check[PluginSubject], ...] = (
    factories_take_the_keywords,
    builds_without_network,
    factories_refuse_unknown_options,
    weights_can_be_listed,
)
