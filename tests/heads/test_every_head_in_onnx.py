"""Each head as an ONNX file gives the same answer in ONNX Runtime."""

from __future__ import annotations

from functools import partial

import pytest

import fusionkit.testing as kit
from fusionkit.heads.plugin import fusionkit_heads
from fusionkit.testing.pairs.draw import HEADS


def test_all_heads_are_asked():
    assert set(HEADS) == set(fusionkit_heads())


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADS)
def test_onnx_runtime_gives_the_same_answer(name):
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    small = {option: values[0] for option, values in HEADS[name].items()}
    make = partial(fusionkit_heads()[name], **small)
    report = kit.check_head(make, only=["exports_to_onnx"])
    assert report["exports_to_onnx"].status == "passed"
