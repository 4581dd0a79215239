"""Multiplicative interactions against loops, the linear layer inside, and refused cost."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from product_loops import check_against_loops, linear
from toy_features import NUM_CLASSES, make_features, make_inputs, perturb

import fusionkit as fk
from fusionkit.heads.products.multiplicative_interaction import MultiplicativeInteraction
from fusionkit.heads.vectors.concat import Concat


def reference(head, vectors):
    if hasattr(next(iter(head.vectors.blocks.values())), "linear"):
        blocks = head.vectors.blocks.values()
        vectors = [linear(block.linear, x) for block, x in zip(blocks, vectors, strict=True)]
    logits = linear(head.linear, [value for x in vectors for value in x])
    for form, (x, y) in zip(head.forms, combinations(vectors, 2), strict=True):
        for k in range(NUM_CLASSES):
            for i in range(len(x)):
                for j in range(len(y)):
                    logits[k] = logits[k] + x[i] * form[k, i, j] * y[j]
    return logits


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("norm", ["layer", "none"])
@pytest.mark.parametrize("project", [None, 2], ids=["bare", "projected"])
def test_equals_the_formula_in_loops(count, norm, project):
    check_against_loops(MultiplicativeInteraction, count, reference, norm=norm, project=project)


def test_without_forms_it_is_a_linear_layer_on_the_concatenation():
    inputs = make_inputs(3)
    head = MultiplicativeInteraction(inputs, num_classes=NUM_CLASSES).double()
    plain = Concat(inputs, num_classes=NUM_CLASSES).double()
    plain.classifier[-1].load_state_dict(head.linear.state_dict())
    features = make_features(head, inputs, dtype=torch.float64)
    assert not torch.allclose(head(features), plain(features))
    with torch.no_grad():
        for form in head.forms:
            form.zero_()
    torch.testing.assert_close(head(features), plain(features))


def test_one_branch_decides_on_the_weights_of_the_other():
    """The paper's reading: xᵀ W y + V y is a linear layer on y whose weights depend on x."""
    inputs = make_inputs(2)
    head = MultiplicativeInteraction(inputs, num_classes=3, norm="none").double()
    perturb(head)
    features = make_features(head, inputs, batch=1, dtype=torch.float64)
    x, y = features["audio"].vector[0], features["image"].vector[0]
    u, v = head.linear.weight.split([5, 7], dim=1)
    weights = torch.einsum("i,kij->kj", x, head.forms[0]) + v
    torch.testing.assert_close(head(features)[0], weights @ y + u @ x + head.linear.bias)


def test_an_absent_branch_leaves_what_the_others_say():
    inputs = make_inputs(3)
    head = MultiplicativeInteraction(inputs, num_classes=NUM_CLASSES).double()
    perturb(head)
    features = make_features(head, inputs, dtype=torch.float64)
    del features["audio"]
    pair = {name: inputs[name] for name in features}
    other = MultiplicativeInteraction(pair, num_classes=NUM_CLASSES).double()
    with torch.no_grad():
        other.linear.weight.copy_(head.linear.weight[:, 5:])
        other.linear.bias.copy_(head.linear.bias)
        other.forms[0].copy_(head.forms[2])
    torch.testing.assert_close(head(features), other(features))


def test_what_costs_too_much_is_refused_with_the_figure_before_it_is_made():
    wide = {"a": fk.HeadInput(100_000), "b": fk.HeadInput(50_000), "c": fk.HeadInput(10)}
    with pytest.raises(fk.AssemblyError) as refusal:
        MultiplicativeInteraction(wide, num_classes=10)
    message = str(refusal.value)
    assert "widths 100000 x 50000 x 10 would need 50,015,000,000 parameters" in message
    assert "Σ d_i d_j x num_classes over the pairs" in message
    assert f"write project=1290 ({3 * 1290**2 * 10:,}), take 'low_rank_fusion'" in message
    assert 3 * 1290**2 * 10 <= 50_000_000 < 3 * 1291**2 * 10


def test_a_limit_is_refused_where_it_is_no_number():
    with pytest.raises(fk.ConfigError, match="option max_parameters takes a whole number"):
        MultiplicativeInteraction(make_inputs(), num_classes=2, max_parameters=-1)
