"""Each head as an ONNX file gives the same answer in ONNX Runtime."""

from __future__ import annotations

from functools import partial

import pytest

import fusionkit.testing as kit
from fusionkit.heads.plugin import fusionkit_heads
from fusionkit.testing.pairs.draw import HEADS

CASES = [
    *(
        (name, {option: values[0] for option, values in each.items()})
        for name, each in HEADS.items()
    ),
    ("bilinear", {"project": 6, "reads": "maps"}),
    ("compact_bilinear", {"width": 33, "reads": "maps"}),
    ("two_stream_maps", {"fusion": "conv", "hidden": 3}),
]


def test_all_heads_are_asked():
    assert set(HEADS) == set(fusionkit_heads())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), CASES, ids=[f"{n}-{o}" for n, o in CASES])
def test_onnx_runtime_gives_the_same_answer(name, options):
    if name == "compact_bilinear":
        old = "ONNX Runtime before 1.27 refuses the one-sided inverse DFT that ONNX has"
        pytest.importorskip("onnxruntime", minversion="1.27", reason=old)
    make = partial(fusionkit_heads()[name], **options)
    report = kit.check_head(make, only=["exports_to_onnx"])
    assert report["exports_to_onnx"].status == "passed"
