"""Maps and vectors as tokens."""

from __future__ import annotations

import pytest
import torch
from toy_features import make_inputs

import fusionkit as fk
from fusionkit.heads.parts.tokens import BranchTokens, ClassToken, sine_positions


def maps_of(**shapes):
    return {name: fk.Features(maps=(torch.randn(2, *shape),)) for name, shape in shapes.items()}


def test_maps_where_there_are_some_and_else_the_vector():
    inputs = {**make_inputs(2), "text": fk.HeadInput(3)}
    tokens = BranchTokens(inputs, width=8, read={"audio": "vector"}, level={"image": -2})
    assert tokens.reads == {
        "audio": fk.Reads(vector=True),
        "image": fk.Reads(maps=(0,)),
        "text": fk.Reads(vector=True),
    }
    assert "audio (vector), image (level 0), text (vector)" in repr(tokens)
    features = {
        "text": fk.Features(vector=torch.randn(2, 3)),
        "image": fk.Features(maps=(torch.randn(2, 6, 3, 4),)),
    }
    given = tokens(features)
    assert list(given) == ["image", "text"]
    assert [x.shape for x in given.values()] == [(2, 12, 8), (2, 1, 8)]


@pytest.mark.parametrize(
    ("side", "shape", "count"), [(7, (56, 56), 49), (7, (4, 9), 28), (None, (9, 9), 81)]
)
def test_large_maps_have_no_more_tokens_than_is_said(side, shape, count):
    tokens = BranchTokens(make_inputs(1), width=4, side=side)
    (x,) = tokens(maps_of(audio=(5, *shape))).values()
    assert x.shape == (2, count, 4)


def test_a_loud_branch_does_not_drown_the_other():
    tokens = BranchTokens(make_inputs(2), width=8)
    features = maps_of(audio=(5, 3, 3), image=(7, 3, 3))
    loud = {name: fk.Features(maps=(1e3 * each.maps[0],)) for name, each in features.items()}
    for one, other in zip(tokens(features).values(), tokens(loud).values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_each_place_has_a_position_of_its_own_whatever_the_size_of_the_map():
    like = torch.zeros(1, 1, 16, dtype=torch.float64)
    fine, coarse = sine_positions(6, 6, like), sine_positions(2, 2, like)
    gaps = torch.cdist(fine, fine) + torch.eye(36)
    assert gaps.min() > 0.1
    # The middle of the first of two is that of the second of six.
    torch.testing.assert_close(coarse[0], fine[1 * 6 + 1])
    torch.testing.assert_close(coarse[1], fine[1 * 6 + 4])


def test_positions_are_as_exact_in_half_precision_as_it_can_hold():
    exact = sine_positions(7, 7, torch.zeros(1, 1, 64))
    half = sine_positions(7, 7, torch.zeros(1, 1, 64, dtype=torch.bfloat16))
    assert torch.equal(half, exact.to(torch.bfloat16))


def test_the_class_token_stands_in_front():
    token = ClassToken(4)
    x = torch.randn(3, 5, 4)
    joined = token(x)
    assert torch.equal(joined[:, 1:], x)
    assert torch.equal(joined[:, 0], token.token[0].expand(3, -1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"read": "map"}, "option read is 'auto', 'maps' or 'vector', got 'map'"),
        ({"read": {"audoi": "maps"}}, "there is no branch 'audoi'"),
        ({"norm": "l2"}, "option norm is 'layer' or 'none', got 'l2'"),
        ({"side": 0}, "option side takes a whole number of at least 1, got 0"),
        ({"width": 6}, "it is a multiple of 4, got 6; or write position=False"),
        ({"width": 0}, "option width takes a whole number"),
        ({"position": "yes"}, "option position is True or False, got 'yes'"),
        ({"level": 1.5}, "option level takes a whole number"),
        (
            {"read": {"audio": "vector"}, "level": {"audio": 0}},
            "branch 'audio' is read by its vector, which has no levels; leave it out, or write "
            "read={'audio': 'maps'}",
        ),
    ],
    ids=str,
)
def test_an_option_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(fk.ConfigError) as caught:
        BranchTokens(make_inputs(2), **{"width": 8, **options})
    assert message in str(caught.value)


def test_maps_of_a_branch_that_has_none_are_refused():
    with pytest.raises(fk.AssemblyError, match="branch 'rgb' has no maps"):
        BranchTokens({"rgb": fk.HeadInput(3)}, width=8, read="maps")
