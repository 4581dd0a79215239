"""``fusionkit check NAME``: whether a plugin, a backbone or a head keeps its promises."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fusionkit.errors import ConfigError

if TYPE_CHECKING:
    from fusionkit.catalog import Catalog
    from fusionkit.testing.report import Report

__all__ = ["check"]

FAILED = 1


class Subject(str, Enum):
    """What can be checked."""

    plugin = "plugin"
    backbone = "backbone"
    head = "head"


def check(
    name: Annotated[
        str,
        typer.Argument(
            help="A plugin such as example, a backbone such as timm/resnet18, or a head such as "
            "concat."
        ),
    ],
    *,
    kind: Annotated[
        Subject | None, typer.Option(help="Which one, where several have that name.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="CHECK", help="Ask only this; may be given several times."),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="An option of the backbone or head; a value is JSON or text."
        ),
    ] = None,
    slow: Annotated[
        bool, typer.Option("--slow", help="Ask slow checks too: compilers, export.")
    ] = False,
    limit: Annotated[
        int, typer.Option(min=1, help="How many backbones and heads of a plugin are asked.")
    ] = 10,
) -> None:
    """Check whether a plugin, a backbone or a head keeps its promises; downloads nothing.

    Prints what failed, each with what to do, and ends with exit code 1 if anything did.
    """
    from fusionkit.catalog import Catalog

    catalog = Catalog.installed()
    report = _ask(
        catalog,
        name,
        kind=kind,
        only=only or None,
        options=_options(option or ()),
        slow=slow,
        limit=limit,
    )
    typer.echo(str(report))
    if not report.passed:
        raise typer.Exit(FAILED)


def _ask(
    catalog: Catalog,
    name: str,
    *,
    kind: Subject | None,
    only: Sequence[str] | None,
    options: Mapping[str, Any],
    slow: bool,
    limit: int,
) -> Report:
    from fusionkit.testing.backbones.all import BACKBONE_CHECKS
    from fusionkit.testing.backbones.conformance import check_backbone
    from fusionkit.testing.heads.all import HEAD_CHECKS
    from fusionkit.testing.heads.conformance import check_head
    from fusionkit.testing.plugins.all import PLUGIN_CHECKS
    from fusionkit.testing.plugins.conformance import check_plugin

    kind = kind or _guess(catalog, name)
    checks: dict[Subject, list[str]] = {
        Subject.backbone: [each.name for each in BACKBONE_CHECKS],
        Subject.head: [each.name for each in HEAD_CHECKS],
    }
    checks[Subject.plugin] = list(
        dict.fromkeys(
            [each.name for each in PLUGIN_CHECKS] + checks[Subject.backbone] + checks[Subject.head]
        )
    )
    wanted = checks[kind] if slow and only is None else only
    if kind is Subject.plugin:
        if options:
            raise ConfigError("--option is for a backbone or a head, written 'plugin/name'")
        return check_plugin(name, catalog=catalog, only=wanted, limit=limit, on_fail="report")
    if kind is Subject.backbone:
        build = partial(catalog.backbone(name).factory, **options)
        return check_backbone(build, only=wanted, on_fail="report", name=f"backbone {name}")
    make = partial(catalog.head(name).factory, **options)
    return check_head(make, only=wanted, on_fail="report", name=f"head {name}")


def _guess(catalog: Catalog, name: str) -> Subject:
    """Tells what has that name: a bare one is a plugin's before a head's."""
    if "/" not in name:
        plugins = [each.name for each in catalog.plugins()]
        return Subject.plugin if name in plugins or name not in catalog.heads() else Subject.head
    try:
        catalog.backbone(name)
    except ConfigError as error:
        try:
            catalog.head(name)
        except ConfigError:
            raise error from None  # most names with a slash are backbones'
        return Subject.head
    return Subject.backbone


def _options(given: Sequence[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for each in given:
        key, separator, value = each.partition("=")
        if not separator or not key:
            raise ConfigError(f"--option is KEY=VALUE, for example width=8; got {each!r:.80}")
        try:
            options[key] = json.loads(value)
        except ValueError:
            options[key] = value  # text needs no quotes
    return options
