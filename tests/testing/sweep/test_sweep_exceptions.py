from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

import fusionkit as fk
from fusionkit.testing.backbones.all import BACKBONE_CHECKS
from fusionkit.testing.sweep.exceptions import KNOWN, known_failures

MODELS = fk.Catalog.installed().backbones("timm") + fk.Catalog.installed().backbones("torchvision")


@pytest.mark.parametrize(("glob", "check", "cause"), KNOWN, ids=lambda value: value[:30])
def test_an_exception_is_of_a_model_and_a_check_that_exist(
    glob: str, check: str, cause: str
) -> None:
    assert any(fnmatchcase(model, glob) for model in MODELS)
    assert check in {each.name for each in BACKBONE_CHECKS}
    assert len(cause) > 20


def test_what_is_known_of_a_model_is_given_by_check() -> None:
    assert sorted(known_failures("timm/convit_tiny")) == [
        "eval_has_no_side_effects",
        "frozen_branch_keeps_every_bit",
    ]
    assert known_failures("timm/resnet18") == {}
