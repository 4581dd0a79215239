"""A diagnosis names the branch that poisons or drowns the others."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from odd_toys import branch, build, images

import fusionkit as fk
from fusionkit.model.diagnosis import diagnose


def test_it_gives_the_scale_of_each_branch_and_warns_of_nothing():
    model = build({"a": "odd", "bb": "odd"}).train()
    before = copy.deepcopy(model.state_dict())
    diagnosis = model.diagnose(images())
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert diagnosis.warnings == ()
    with torch.no_grad():
        vectors = model.eval().embed(images())
    for fact in diagnosis.facts:
        rms = vectors[fact.branch].double().square().mean().sqrt()
        assert fact.rms == pytest.approx(float(rms), rel=1e-6)
        assert (fact.kind, fact.not_finite, fact.values) == ("vector", 0, 32)
    lines = str(diagnosis).splitlines()
    assert lines[0].startswith("a   vector  rms 0.")
    assert len(lines) == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_f024_a_planted_weight_is_found_by_branch_and_name(value):
    model = build({"a": "odd", "b": "odd"})
    with torch.no_grad():
        model.branches["b"].two.bias[3] = value
    assert not model(images()).isfinite().all() or value == float("inf")
    diagnosis = model.diagnose(images())
    assert any(
        w == "branch 'b': 'two.bias' holds values that are not finite" for w in diagnosis.warnings
    )
    assert not any("'a'" in warning for warning in diagnosis.warnings)
    if math.isnan(value):
        assert any("'b': 32 of 32 values of its vector are NaN" in w for w in diagnosis.warnings)
        assert "b  vector  rms nan  32 of 32 not finite" in str(diagnosis)


def test_f024_a_planted_weight_of_the_head_is_found():
    model = build({"a": "odd"})
    with torch.no_grad():
        model.head.out["a"].bias[0] = float("nan")
    assert model.diagnose(images()).warnings == (
        "head: 'out.a.bias' holds values that are not finite",
    )


def test_an_input_that_is_not_finite_is_told_from_a_weight():
    model = build({"a": branch("odd", input="x"), "b": branch("odd", input="y")})
    bad = images()
    bad[0, 0, 0, 0] = float("nan")
    warnings = model.diagnose({"x": images(), "y": bad}).warnings
    assert len(warnings) == 1
    assert warnings[0].startswith("branch 'b': 8 of 32 values of its vector are NaN")


def test_p9_a_branch_a_hundred_times_larger_is_told():
    model = build({"a": "tiny", "b": "tiny"})
    model.load_state_dict(
        {
            name: model.state_dict()[name.replace("branches.b", "branches.a")]
            for name in model.state_dict()
        }
    )
    top = model.branches["b"].top
    with torch.no_grad():
        top.weight *= 90
        top.bias *= 90
    assert model.diagnose(images()).warnings == ()
    with torch.no_grad():
        top.weight *= 2
        top.bias *= 2
    diagnosis = model.diagnose(images())
    assert len(diagnosis.warnings) == 1
    assert "the vector of branch 'b' is 180 times larger than that of branch 'a'" in str(diagnosis)


def test_a_branch_that_gives_zeros_is_told():
    model = build({"a": "odd", "b": "odd"})
    with torch.no_grad():
        for parameter in model.branches["a"].three.parameters():
            parameter.zero_()
    assert model.diagnose(images()).warnings == ("branch 'a': its vector is all zeros",)


def test_maps_and_logits_are_diagnosed_where_they_are_read():
    maps = build({"a": "odd"}, fk.Head("odd/maps", level=0)).diagnose(images())
    assert [fact.kind for fact in maps.facts] == ["maps"]
    logits = build({"a": "classifies"}, "odd/logits").diagnose(images())
    assert [fact.kind for fact in logits.facts] == ["logits"]


def judged(model, inputs):
    """Gives the diagnosis of a model that was given these inputs."""
    with torch.no_grad():
        return diagnose(model.eval(), model.features(inputs), inputs)


@pytest.mark.parametrize(("low", "high"), [(0, 255), (-128, 127), (0, 31)])
def test_images_that_were_not_normalised_are_told_by_branch(low, high):
    model = build({"a": branch("odd", input="x"), "b": branch("odd", input="y")})
    raw = images().clamp(0, 1) * (high - low) + low
    raw[0, 0, 0, :2] = torch.tensor([low, high])
    warnings = judged(model, {"x": images().clamp(-5, 5), "y": raw}).warnings
    reach = max(high, -low)
    assert warnings == (
        f"branch 'b': its input reaches {reach}; images are scaled to [0, 1] and normalised first",
    )
    alike = judged(build({"a": "odd", "b": "odd"}), raw).warnings
    assert [warning[:10] for warning in alike] == ["branch 'a'", "branch 'b'"]


def test_normalised_images_and_what_is_no_image_are_not_told():
    model = build({"a": "odd"})
    assert judged(model, images().clamp(-3, 3) * 10).warnings == ()
    infinite = images().clamp(-3, 3)
    infinite[0, 0, 0, 0] = float("inf")
    assert not any("reaches" in warning for warning in judged(model, infinite).warnings)
    flat = build({"v": branch("vector", in_channels=4)})
    assert not any(
        "reaches" in warning for warning in judged(flat, torch.full((2, 4), 99.0)).warnings
    )


def test_what_the_model_prepares_itself_is_not_told():
    model = build({"a": "odd"}, preprocess="inside")
    raw = (images().clamp(0, 1) * 255).to(torch.uint8)
    assert not any("reaches" in warning for warning in judged(model, raw).warnings)
