"""The functions that plugin authors call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from fusionkit.backbone.contract import Backbone
from fusionkit.testing.backbones.all import BACKBONE_CHECKS
from fusionkit.testing.backbones.subject import BackboneSubject, Reference, StockKeys
from fusionkit.testing.judge import choose, judge, refuse_unknown
from fusionkit.testing.question import Question
from fusionkit.testing.report import Report

__all__ = ["backbone_checks", "check_backbone"]


def check_backbone(
    make: Callable[..., Any],
    *,
    reference: Reference | None = None,
    in_channels: int = 3,
    num_classes: int | None = None,
    expected_failures: Mapping[str, str] | None = None,
    only: Iterable[str] | None = None,
    on_meta: bool = False,
    on_fail: Literal["raise", "report"] = "raise",
    stock_keys: StockKeys | None = None,
    factories: Mapping[str, Callable[..., Backbone]] | None = None,
    weights: str | None = None,
    name: str | None = None,
) -> Report:
    """Asks everything of a backbone, and gives or raises what came of it.

    Example::

        def test_conformance():
            fusionkit.testing.check_backbone(make_tiny)

    Args:
        make: the factory, as a plugin offers it; options are set with ``functools.partial``.
        reference: gives what the provider's own model makes of an input, called as
            ``reference(backbone, x)``, to be compared with; see ``Reference``.
        in_channels: channels of its input.
        num_classes: how many classes its own classifier has; without it, what
            ``functools.partial`` sets, then 5 and 1000 are tried.
        expected_failures: the causes of known failures by the name of the check; to pass one
            is a failure.
        only: names of checks, instead of all that are not slow.
        on_meta: build everything without data on the meta device, and ask only what can be
            asked of shapes; for models too large for the memory.
        on_fail: ``"raise"`` raises every failure at once, ``"report"`` leaves them in the report.
        stock_keys: the keys of the provider's own checkpoint, or what gives them when it is
            called with the backbone; the trunk's are compared with them.
        factories: the provider's backbones by name, to build what ``rebuild`` says.
        weights: a name of pretrained weights that can be had where this runs; the factory is asked
            for them twice, and no tensor may be drawn at random. Without it none are asked for,
            as they may have to be downloaded.
        name: what the report calls it.

    Raises:
        ConformanceError: something failed, and ``on_fail="raise"``.
        ConfigError: there is no check of a name that was given.
    """
    expected = dict(expected_failures or {})
    refuse_unknown(BACKBONE_CHECKS, expected)
    subject = BackboneSubject(
        make,
        in_channels=in_channels,
        num_classes=num_classes,
        reference=reference,
        on_meta=on_meta,
        stock_keys=stock_keys,
        factories=factories,
        weights=weights,
    )
    outcomes = judge(choose(BACKBONE_CHECKS, only, on_meta), subject, expected)
    report = Report(name or _name(make), outcomes)
    if on_fail == "raise":
        report.raise_for_failures()
    return report


def backbone_checks(**arguments: Any) -> list[Question]:
    """Gives each check as a test for ``pytest.mark.parametrize``, to be called with the factory.

    Example::

        @pytest.mark.parametrize("check", fusionkit.testing.backbone_checks(), ids=str)
        def test_conformance(check):
            check(make_tiny)

    Args:
        arguments: ``reference``, ``in_channels``, ``num_classes``, ``stock_keys``, ``factories``,
            ``weights`` and ``expected_failures``, as ``check_backbone`` takes them. A failure that
            was expected lets the test pass.
    """
    return [
        Question(each, BACKBONE_CHECKS, BackboneSubject, arguments)
        for each in choose(BACKBONE_CHECKS, None)
    ]


def _name(make: Callable[..., Any]) -> str:
    inner = getattr(make, "func", make)
    return str(getattr(inner, "__qualname__", type(inner).__name__))
