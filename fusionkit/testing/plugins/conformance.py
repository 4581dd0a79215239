"""The function that authors of plugins call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import torch

from fusionkit.catalog import Catalog
from fusionkit.plugins.plugin import Kind
from fusionkit.testing.backbones.all import BACKBONE_CHECKS
from fusionkit.testing.backbones.conformance import check_backbone
from fusionkit.testing.check import Check, Outcome
from fusionkit.testing.heads.all import HEAD_CHECKS
from fusionkit.testing.heads.conformance import check_head
from fusionkit.testing.judge import choose, judge, refuse_unknown
from fusionkit.testing.plugins.all import PLUGIN_CHECKS
from fusionkit.testing.plugins.factories import call
from fusionkit.testing.plugins.subject import Chosen, Offered, PluginSubject
from fusionkit.testing.report import Report

__all__ = ["check_plugin"]

LIMIT = 10
LARGE = 150_000_000
"""Backbones of more parameters are asked without data, on the meta device."""

CHECKS: dict[Kind, tuple[Check[Any], ...]] = {"backbone": BACKBONE_CHECKS, "head": HEAD_CHECKS}


def check_plugin(
    name: str,
    *,
    backbones: Chosen = None,
    heads: Chosen = None,
    limit: int | None = LIMIT,
    expected_failures: Mapping[str, Mapping[str, str]] | None = None,
    catalog: Catalog | None = None,
    only: Iterable[str] | None = None,
    on_fail: Literal["raise", "report"] = "raise",
) -> Report:
    """Asks everything of an installed plugin, and of each backbone and head that it offers.

    The plugin is imported in a process of its own, without network, to see what that drags
    along; backbones and heads are asked in this process.

    Example::

        def test_conformance():
            fusionkit.testing.check_plugin("example")

    Args:
        name: the entry point's name.
        backbones: names to ask, or options by name (``{"tiny": {"width": 8}}``); by default all
            that it lists.
        heads: likewise.
        limit: how many of each kind are asked at most where none are named, evenly drawn; the
            report tells how many were not. ``None`` asks all.
        expected_failures: the causes of known failures by the name of the check, for each
            backbone or head by its name, and for the plugin as such by its own.
        catalog: where the plugin is looked up; by default all that are installed. One that was
            given to a catalog in Python is not imported in a process of its own.
        only: names of checks, instead of all that are not slow.
        on_fail: ``"raise"`` raises every failure at once, ``"report"`` leaves them in the report.

    Returns:
        One report; checks of backbones and heads are called ``"backbone tiny: builds"``.

    Raises:
        ConformanceError: something failed, and ``on_fail="raise"``.
        ConfigError: there is no check, backbone or head of a name that was given.
    """
    wanted = None if only is None else set(only)
    refuse_unknown((*PLUGIN_CHECKS, *BACKBONE_CHECKS, *HEAD_CHECKS), sorted(wanted or ()))
    subject = PluginSubject(name, catalog=catalog, backbones=backbones, heads=heads, limit=limit)
    expected = {key: dict(each) for key, each in (expected_failures or {}).items()}
    own = expected.get(name, {})
    refuse_unknown(PLUGIN_CHECKS, own)
    chosen = choose(PLUGIN_CHECKS, _among(PLUGIN_CHECKS, wanted))
    outcomes = list(judge(chosen, subject, own))
    first = {check.name for check in PLUGIN_CHECKS if check.first}
    if not any(each.status == "failed" and each.check in first for each in outcomes):
        for key in expected:
            subject.require_name(key)
        for kind in CHECKS:
            outcomes += _ask(subject, kind, expected, wanted)
    report = Report(f"plugin {name}", tuple(outcomes))
    if on_fail == "raise":
        report.raise_for_failures()
    return report


def _ask(
    subject: PluginSubject,
    kind: Kind,
    expected: Mapping[str, Mapping[str, str]],
    wanted: set[str] | None,
) -> Iterator[Outcome]:
    only = _among(CHECKS[kind], wanted)
    if only is not None and not only:
        return
    for offered in subject.offered(kind):
        full = f"{subject.name}/{offered.name}"
        known = {**expected.get(offered.name, {}), **expected.get(full, {})}
        if offered.name == subject.name:  # a bare name that is the plugin's own means the plugin
            known = dict(expected.get(full, {}))
        make = partial(offered.factory, **offered.options)
        if kind == "backbone":
            report = check_backbone(
                make,
                expected_failures=known,
                only=only,
                on_meta=_is_large(offered),
                on_fail="report",
                factories=subject.offer.backbones,
            )
        else:
            report = check_head(make, expected_failures=known, only=only, on_fail="report")
        for outcome in report.outcomes:
            yield replace(outcome, check=f"{kind} {offered.name}: {outcome.check}")
    left = len(subject.listed(kind)) - len(subject.names(kind))
    if subject.chosen[kind] is None and left > 0:
        yield Outcome(
            f"{left:,} more {kind}s",
            "not run",
            cause=f"limit={subject.limit}; give {kind}s=[...] by name, or limit=None for all",
        )


def _is_large(offered: Offered) -> bool:
    try:
        with torch.device("meta"):
            built = call(offered)
        return sum(int(value.numel()) for value in built.parameters()) > LARGE
    except Exception:  # what cannot be built without data is built with it, and judged there
        return False


def _among(checks: tuple[Check[Any], ...], wanted: set[str] | None) -> list[str] | None:
    if wanted is None:
        return None
    return [check.name for check in checks if check.name in wanted]
