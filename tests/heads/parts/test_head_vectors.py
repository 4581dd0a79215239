"""The vectors of all branches, normalised and projected."""

from __future__ import annotations

from toy_features import make_features, make_inputs

from fusionkit.heads.parts.vectors import BranchVectors
from fusionkit.heads.vectors.concat import Concat


def test_widths_are_those_that_come_out():
    inputs = make_inputs(3)
    vectors = BranchVectors(inputs, project={"audio": 9, "text": None})
    assert vectors.widths == (9, 7, 3)
    features = make_features(Concat(inputs, num_classes=2), inputs)
    assert tuple(x.shape[1] for x in vectors(features).values()) == vectors.widths
