"""Vectors and maps in one form, place by place."""

from __future__ import annotations

import pytest
import torch
from toy_features import make_features, make_inputs

import fusionkit as fk
from fusionkit.heads.parts.places import BranchPlaces


def test_a_vector_is_the_only_place():
    inputs = make_inputs(2)
    places = BranchPlaces(inputs, reads="vector", level=None, norm="none")
    features = make_features(places, inputs)
    found = places(features)
    assert list(found) == ["audio", "image"]
    assert torch.equal(found["image"][:, 0], features["image"].vector)
    assert places.widths == (5, 7)


def test_the_places_of_maps_follow_row_by_row():
    inputs = make_inputs(2)
    places = BranchPlaces(inputs, reads="maps", level=None, norm="none")
    features = make_features(places, inputs)
    found = places(features)
    assert found["audio"].shape[:2] == found["image"].shape[:2]
    plane = features["image"].maps[0]
    assert torch.equal(found["image"][:, 1], plane[:, :, 0, 1])
    assert torch.equal(found["image"][:, plane.shape[-1]], plane[:, :, 1, 0])


def test_a_level_is_for_maps():
    assert BranchPlaces(make_inputs(1), reads="maps", level=0, norm="layer").reads == {
        "audio": fk.Reads(maps=(0,))
    }
    with pytest.raises(fk.ConfigError, match="option level chooses among maps, got 1; write reads"):
        BranchPlaces(make_inputs(1), reads="vector", level=1, norm="layer")
