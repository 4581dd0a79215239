"""Docstrings for a person who will not see the source."""

from __future__ import annotations

import pytest

from fusionkit.cli.docstring import read_docstring


def test_paragraphs_and_arguments():
    paragraphs, arguments = read_docstring(
        """Says what it gives.

        With ``code`` and
        two lines.

        Args:
            one: the first,
                over two lines: like this.
            two (int): the second.

        Returns:
            three: nothing.
        """
    )
    assert paragraphs == ("Says what it gives.", "With code and two lines.")
    assert arguments == {"one": "the first, over two lines: like this.", "two": "the second."}


@pytest.mark.parametrize("text", [None, "", "   \n  "])
def test_no_docstring(text):
    assert read_docstring(text) == ((), {})
