"""What tests of providers share."""

import pytest

from fusionkit.providers.timm import describe


@pytest.fixture
def nothing_known(monkeypatch):
    """Has each timm model described by running it."""
    monkeypatch.setattr(describe, "recall", lambda *_: None)
    describe._describe.cache_clear()
    yield
    describe._describe.cache_clear()
