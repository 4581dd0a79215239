"""Cost that is counted before it is made."""

from __future__ import annotations

from math import prod

import pytest
from toy_features import make_inputs

import fusionkit as fk
from fusionkit.heads.parts.cost import planned_widths, refuse_above

WORDS = {"formula": "Π d_i", "instead": "'concat'"}


def test_what_fits_is_given():
    assert refuse_above(1000, prod, [10, 10, 10], **WORDS) == 1000


def test_what_does_not_is_refused_with_the_widest_projection_that_fits():
    with pytest.raises(fk.AssemblyError) as refusal:
        refuse_above(999, prod, [10, 100], **WORDS)
    assert str(refusal.value) == (
        "the products of widths 10 x 100 would need 1,000 parameters, Π d_i, and max_parameters "
        "is 999; write project=31 (961), take 'concat', whose cost does not multiply, or raise "
        "max_parameters"
    )


def test_where_none_fits_none_is_told():
    with pytest.raises(fk.AssemblyError, match="max_parameters is 1; take 'concat'"):
        refuse_above(1, lambda widths: 2 * prod(widths), [3, 3], **WORDS)


def test_projections_count_in():
    inputs = make_inputs(3)
    assert planned_widths(inputs, None) == [5, 7, 3]
    assert planned_widths(inputs, 4) == [4, 4, 4]
    assert planned_widths(inputs, {"image": 2}) == [5, 2, 3]
