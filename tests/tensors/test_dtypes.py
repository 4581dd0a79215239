"""The names of types are the format's own."""

from __future__ import annotations

import safetensors.torch

from fusionkit.tensors.dtypes import DTYPES, NAMES


def test_the_types_are_those_of_the_library() -> None:
    assert DTYPES == safetensors.torch._TYPES
    assert {NAMES[dtype] for dtype in DTYPES.values()} == set(DTYPES)
