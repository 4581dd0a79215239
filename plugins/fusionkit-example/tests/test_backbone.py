from __future__ import annotations

import fusionkit.testing as kit
import pytest

from fusionkit_example.backbone import build_reversible


@pytest.mark.parametrize("check", kit.backbone_checks(), ids=str)
def test_the_backbone_keeps_its_promises(check):
    check(build_reversible)


def test_an_odd_width_is_refused():
    with pytest.raises(ValueError, match="even number"):
        build_reversible(width=3)
