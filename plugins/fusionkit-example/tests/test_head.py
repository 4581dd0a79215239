from __future__ import annotations

import fusionkit.testing as kit
import pytest

from fusionkit_example.head import Gated


@pytest.mark.parametrize("check", kit.head_checks(), ids=str)
def test_the_head_keeps_its_promises(check):
    check(Gated)
