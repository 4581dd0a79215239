"""The kit's seed gives what torch's gives, and leaves nothing behind where there is one device."""

from __future__ import annotations

import pytest
import torch

from fusionkit.testing.seed import set_seed


def test_it_gives_the_numbers_of_torch() -> None:
    torch.manual_seed(7)
    expected = torch.randn(5)
    set_seed(7)
    assert torch.equal(torch.randn(5), expected)


@pytest.mark.parametrize("there", [True, False], ids=["accelerator", "cpu alone"])
def test_torchs_own_is_called_where_there_is_an_accelerator(
    there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[int] = []
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: there)
    monkeypatch.setattr(torch, "manual_seed", called.append)
    set_seed(3)
    assert called == ([3] if there else [])
