"""The heads that come with fusionkit keep the promises of every head."""

from __future__ import annotations

from functools import partial

import pytest
from test_every_head import CASES, IDS

import fusionkit.testing as kit
from fusionkit.heads.plugin import fusionkit_heads

COMPILED = [
    ("concat", {"hidden": 8, "norm": "batch"}),
    ("mean_probabilities", {"weights": "learned", "temperature": "learned"}),
    ("two_stream_maps", {"fusion": "max", "hidden": 3}),
]


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_each_head_under_its_options(name, options):
    kit.check_head(partial(fusionkit_heads()[name], **options))


@pytest.mark.parametrize(("name", "options"), COMPILED, ids=[name for name, _ in COMPILED])
def test_compilers_take_them(name, options):
    make = partial(fusionkit_heads()[name], **options)
    report = kit.check_head(make, only=["compiles", "exports"])
    assert report["compiles"].status == report["exports"].status == "passed"


def test_a_weight_of_zero_is_told_as_a_branch_that_does_not_count():
    make = partial(fusionkit_heads()["mean_logits"], weights={"audio": 1, "image": 0})
    report = kit.check_head(make, branches=("audio", "image"), on_fail="report")
    assert {outcome.check for outcome in report.failures} == {
        "each_branch_counts",
        "every_parameter_learns",
    }
