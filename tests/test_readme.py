"""The README's first screen is what a newcomer needs; its code is run with all other pages'."""

from __future__ import annotations

import re
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_first_code_stands_in_the_first_twenty_lines() -> None:
    before = README[: README.index("```python")]
    assert before.count("\n") < 20


def test_the_name_on_the_package_index_is_ours() -> None:
    assert not re.search(r"pip install (?:\S+ )*[\"']?fusionkit(?!-)", README)
