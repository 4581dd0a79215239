"""Cost that is counted before it is made."""

from __future__ import annotations

from math import prod

import pytest
from toy_features import make_inputs

import fusionkit as fk
from fusionkit.heads.parts.cost import planned_widths, refuse_above, refuse_product

WORDS = {"formula": "Π d_i", "instead": "'concat'"}
NAMED = {"what": "a product", **WORDS}


def test_what_fits_is_given():
    assert refuse_above(1000, prod, [10, 10, 10], **NAMED) == 1000


def test_what_does_not_is_refused_with_the_widest_projection_that_fits():
    with pytest.raises(fk.AssemblyError) as refusal:
        refuse_above(999, prod, [10, 100], **NAMED)
    assert str(refusal.value) == (
        "a product would need 1,000 parameters, Π d_i, and max_parameters is 999; write "
        "project=31 (961), take 'concat', whose cost does not multiply, or raise max_parameters"
    )


def test_where_none_fits_none_is_told():
    with pytest.raises(fk.AssemblyError, match="max_parameters is 1; take 'concat'"):
        refuse_above(1, lambda widths: 2 * prod(widths), [3, 3], **NAMED)


def test_what_is_told_to_fit_is_a_multiple_of_the_step():
    with pytest.raises(fk.AssemblyError, match=r"write width=28 \(784\), take"):
        refuse_above(999, lambda w: w[0] ** 2, [100], **NAMED, option="width", step=4)


@pytest.mark.parametrize(
    ("outputs", "least", "told"),
    [
        (2, 32 * 12, "384 numbers in the vectors of 32 samples, Π d_i x 32"),
        (40, 40 * 13, r"520 parameters, \(Π d_i \+ 1\) x 40"),
    ],
)
def test_a_product_counts_for_each_output_or_for_each_sample(outputs, least, told):
    assert refuse_product(least, prod, outputs, [3, 4], **WORDS) == 12
    with pytest.raises(fk.AssemblyError, match=f"the products of widths 3 x 4 would need {told}"):
        refuse_product(least - 1, prod, outputs, [3, 4], **WORDS)


def test_projections_count_in():
    inputs = make_inputs(3)
    assert planned_widths(inputs, None) == [5, 7, 3]
    assert planned_widths(inputs, 4) == [4, 4, 4]
    assert planned_widths(inputs, {"image": 2}) == [5, 2, 3]
