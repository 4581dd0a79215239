from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

import fusionkit as fk
from fusionkit.testing.backbones.all import BACKBONE_CHECKS
from fusionkit.testing.sweep.exceptions import KNOWN, Known, known_failures

MODELS = fk.Catalog.installed().backbones("timm") + fk.Catalog.installed().backbones("torchvision")


@pytest.mark.parametrize(
    "known", KNOWN, ids=lambda known: f"{known.models.strip('*_')}-{known.check}"
)
def test_an_exception_is_of_models_and_a_check_that_exist(known: Known) -> None:
    assert any(fnmatchcase(model, known.models) for model in MODELS)
    checks = {each.name: each for each in BACKBONE_CHECKS}
    assert checks[known.check].on_meta or known.modes == ("full",)
    assert len(known.cause) > 20


def test_what_is_known_of_a_model_is_given_by_check() -> None:
    assert sorted(known_failures("timm/convit_tiny", "full")) == [
        "eval_has_no_side_effects",
        "frozen_branch_keeps_every_bit",
    ]
    assert known_failures("timm/convit_tiny", "meta") == {}
    assert known_failures("timm/resnet18", "full") == {}
