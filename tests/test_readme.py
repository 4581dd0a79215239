"""The README's code runs, and its first screen is what a newcomer needs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import fusionkit as fk

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
Branch = fk.Branch


def branch_without_weights(*arguments: object, **options: object) -> fk.Branch:
    return Branch(*arguments, **{"weights": None, **options})


@pytest.mark.parametrize("block", range(len(BLOCKS)))
def test_every_block_runs(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fk, "Branch", branch_without_weights)
    code = BLOCKS[block].replace("range(20)", "range(4)")  # enough for a thaw
    names: dict[str, object] = {
        "fk": fk,
        "torch": torch,
        "batches": [(torch.randn(2, 3, 64, 64), torch.tensor([1, 7]))],
    }
    exec(compile(code, f"README.md, block {block}", "exec"), names)
    if "fk.load" in code:
        assert isinstance(names["model"], fk.FusedModel)


def test_the_first_code_stands_in_the_first_twenty_lines() -> None:
    before = README[: README.index("```python")]
    assert before.count("\n") < 20


def test_the_name_on_the_package_index_is_ours() -> None:
    assert not re.search(r"pip install (?:\S+ )*[\"']?fusionkit(?!-)", README)
