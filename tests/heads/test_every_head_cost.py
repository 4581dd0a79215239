"""No head becomes huge, without a word, because there are many branches."""

from __future__ import annotations

import pytest
import torch

import fusionkit as fk
from fusionkit.heads.plugin import fusionkit_heads

MANY = 64

REFUSED = (
    "bilinear",
    "cross_attention",
    "gated_multimodal",
    "mmtm",
    "multiplicative_interaction",
    "squeeze_gate",
    "tensor_fusion",
)


def build(name, count, **options):
    levels = tuple(fk.Level(16 * stride, stride) for stride in (4, 8, 16, 32))
    inputs = {f"b{index:02}": fk.HeadInput(512, levels) for index in range(count)}
    return fusionkit_heads()[name](inputs, num_classes=100, **options)


@pytest.mark.parametrize("name", list(fusionkit_heads()))
def test_parameters_grow_as_the_branches_do_or_are_refused(name):
    def count(branches):
        with torch.device("meta"):
            return sum(each.numel() for each in build(name, branches).parameters())

    if name in REFUSED:
        with pytest.raises(fk.AssemblyError, match=r"would need [\d,]+ parameters"):
            count(MANY)
    else:
        assert count(MANY) <= MANY * count(2)


@pytest.mark.parametrize(
    ("name", "count", "option", "message"),
    [
        (
            "cross_attention",
            32,
            {"width": 8},
            "transformers of width 64 for each pair of 32 branches would need 1,611,769,856 "
            "parameters, about N(N - 1)(depth + (N - 1) self_depth)(4 + 2 mlp_ratio) width²",
        ),
        (
            "gated_multimodal",
            64,
            {"width": 23},
            "gates of width 256 for 64 branches would need 536,887,296 parameters, "
            "(Σ d_i + 1) x 64 x width",
        ),
        (
            "mmtm",
            64,
            {"joint": 762},
            "squeezing 32768 channels of 64 streams to 8192, and back, would need 536,911,872 "
            "parameters, about 2 Σ c_i x joint",
        ),
        (
            "squeeze_gate",
            64,
            {"project": 312},
            "a gate on 32768 components of 64 branches would need 134,252,544 parameters, "
            "about 2 (Σ d_i)² / 16",
        ),
    ],
)
def test_the_refusal_tells_the_figure_and_what_fits(name, count, option, message):
    with pytest.raises(fk.AssemblyError) as refusal:
        build(name, count)
    told = str(refusal.value)
    assert told.startswith(f"{message}, and max_parameters is 50,000,000; ")
    assert told.endswith(", whose cost does not multiply, or raise max_parameters")
    assert f"; write {next(iter(option))}={next(iter(option.values()))} (" in told
    with torch.device("meta"):
        build(name, count, **option)
        build(name, 6, max_parameters=20_000_000)
        with pytest.raises(fk.AssemblyError, match="max_parameters is 200,000"):
            build(name, 6, max_parameters=200_000)


@pytest.mark.parametrize(
    ("name", "counted"),
    [
        ("cross_attention", "targets"),
        ("gated_multimodal", "gate"),
        ("mmtm", ("squeeze", "excitations")),
        ("squeeze_gate", "gate"),
    ],
)
def test_what_is_counted_is_what_is_made(name, counted):
    with torch.device("meta"):
        head = build(name, 5)
    made = sum(
        parameter.numel() for key, parameter in head.named_parameters() if key.startswith(counted)
    )
    with torch.device("meta"):
        build(name, 5, max_parameters=made)
        with pytest.raises(fk.AssemblyError, match=f"would need {made:,} parameters"):
            build(name, 5, max_parameters=made - 1)
