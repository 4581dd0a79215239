"""Each planted fault of the forward pass is told by the check that is there for it."""

from __future__ import annotations

from typing import Any

import pytest
from evil_forward import EVILS
from sound_backbone import Evil, Sound, factory

import fusionkit.testing as kit
from fusionkit.testing.backbones.forward import CHECKS

NAMES = [check.name for check in CHECKS]


def test_a_sound_backbone_passes_all() -> None:
    report = kit.check_backbone(factory(Sound), only=NAMES, on_fail="report")
    assert report.passed, str(report)
    skipped = {each.check for each in report.outcomes if each.status == "skipped"}
    assert skipped == {"equals_the_providers_model"}


@pytest.mark.parametrize("evil", EVILS, ids=str)
def test_the_check_that_is_there_for_it_catches(evil: Evil) -> None:
    report = kit.check_backbone(evil.make, only=NAMES, on_fail="report")
    failed = {each.check for each in report.failures}
    assert evil.check in failed, str(report)
    assert failed == {evil.check} | evil.also, str(report)
    told = [finding.what for finding in report[evil.check].findings]
    assert any(evil.says in what for what in told), told
    assert all(finding.todo for finding in report[evil.check].findings)


def test_every_check_has_something_to_catch() -> None:
    assert {evil.check for evil in EVILS} == set(NAMES) - {"equals_the_providers_model"}


class FixesItsSizeInAList(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.fixed_size = [96, 96]


def test_a_size_that_is_a_list_is_told_before_anything_is_run() -> None:
    report = kit.check_backbone(factory(FixesItsSizeInAList), on_fail="report")
    assert [each.check for each in report.failures] == ["builds"]
    assert "fixed_size is [96, 96]" in report["builds"].findings[0].what


ON_META = [
    evil for evil in EVILS if str(evil) in {"DeadLayer", "Orphan", "WrongStride", "WrongWidth"}
]


@pytest.mark.parametrize("evil", ON_META, ids=str)
def test_faults_of_structure_are_caught_without_data(evil: Evil) -> None:
    report = kit.check_backbone(evil.make, only=NAMES, on_meta=True, on_fail="report")
    assert {each.check for each in report.failures} == {evil.check}, str(report)
    told = [finding.what for finding in report[evil.check].findings]
    assert any(evil.says in what for what in told), told


def test_a_sound_backbone_passes_without_data() -> None:
    report = kit.check_backbone(factory(Sound), only=NAMES, on_meta=True, on_fail="report")
    assert report.passed, str(report)
    assert len([each for each in report.outcomes if each.status == "passed"]) > 12
