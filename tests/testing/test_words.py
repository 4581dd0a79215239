"""Names in a finding."""

from __future__ import annotations

from fusionkit.testing.words import some


def test_at_most_five_each_once():
    assert some([]) == ""
    assert some(["a", "b", "a"]) == "a, b"
    assert some(range(5)) == "0, 1, 2, 3, 4"
    assert some("abcdef") == "a, b, c, d, e, ..."
