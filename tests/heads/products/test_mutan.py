"""MUTAN against loops, a core of rank one, and branches that are absent."""

from __future__ import annotations

import pytest
import torch
from product_loops import check_against_loops, linear, sum_of_products, tanh
from toy_features import NUM_CLASSES, make_features, make_inputs, perturb

import fusionkit as fk
from fusionkit.heads.products.mlb import MLB
from fusionkit.heads.products.mutan import Mutan


def reference(head, vectors):
    squashed = []
    for name, x in zip(head.vectors.names, vectors, strict=True):
        projected = linear(head.vectors.blocks[name].linear, x)
        squashed.append(
            tanh(projected) if isinstance(head.activation, torch.nn.Tanh) else projected
        )
    return linear(head.classifier, sum_of_products(head.core, squashed))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("activation", ["tanh", "none"])
def test_equals_the_formula_in_loops(count, rank, activation):
    options = {"project": {"audio": 4, "image": 3, "text": 2}, "width": 5}
    options["project"] = {
        name: options["project"][name] for name in ("audio", "image", "text")[:count]
    }
    check_against_loops(Mutan, count, reference, rank=rank, activation=activation, **options)


def test_the_core_has_slices_of_the_rank():
    """The Tucker form: z[k] = x̃ᵀ T[:, :, k] ỹ, with T[:, :, k] = Σ_r m_r n_rᵀ."""
    inputs = make_inputs(2)
    head = Mutan(inputs, num_classes=3, project=6, width=4, rank=2, norm="none").double()
    perturb(head)
    with torch.no_grad():
        for factor in head.core.factors.values():
            factor.bias.zero_()
    m, n = (head.core.factors[name].weight.view(4, 2, 6) for name in ("audio", "image"))
    features = make_features(head, inputs, dtype=torch.float64)
    x, y = (torch.tanh(v) for v in head.vectors(features).values())
    fused = []
    for k in range(4):
        core = sum(torch.outer(m[k, r], n[k, r]) for r in range(2))
        assert torch.linalg.matrix_rank(core) == 2
        fused.append(torch.einsum("bi,ij,bj->b", x, core, y))
    torch.testing.assert_close(head(features), head.classifier(torch.stack(fused, dim=1)))


def test_a_core_of_rank_one_on_squashed_projections_is_that_of_mlb():
    inputs = make_inputs(2)
    mutan = Mutan(inputs, num_classes=3, project=6, width=4, rank=1).double()
    perturb(mutan)
    mlb = MLB(
        {name: fk.HeadInput(6) for name in inputs},
        num_classes=3,
        width=4,
        activation="none",
        norm="none",
    ).double()
    mlb.product.load_state_dict(mutan.core.state_dict())
    mlb.classifier.load_state_dict(mutan.classifier.state_dict())
    features = make_features(mutan, inputs, dtype=torch.float64)
    squashed = {name: fk.Features(torch.tanh(x)) for name, x in mutan.vectors(features).items()}
    assert torch.equal(mutan(features), mlb(squashed))


def test_an_absent_branch_counts_as_zeros_in_the_core():
    head = Mutan(make_inputs(3), num_classes=NUM_CLASSES, project=4, width=5, rank=2).double()
    perturb(head)
    features = make_features(head, make_inputs(3), dtype=torch.float64)
    text = {"text": features["text"]}
    squashed = torch.tanh(head.vectors(text)["text"])
    zeros = torch.zeros_like(squashed)
    core = head.core({"audio": zeros, "image": zeros, "text": squashed})
    torch.testing.assert_close(head(text), head.classifier(core))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "option rank takes a whole number of at least 1, got 0"),
        ({"width": "3"}, "option width takes a whole number of at least 1, got '3'"),
        ({"project": {"audoi": 3}}, "there is no branch 'audoi'. Did you mean 'audio'"),
        ({"activation": "gelu"}, "option activation is 'tanh' or 'none', got 'gelu'"),
    ],
    ids=["rank", "width", "project", "activation"],
)
def test_options_that_are_wrong(options, message):
    with pytest.raises(fk.ConfigError, match=message):
        Mutan(make_inputs(), num_classes=2, **options)


@pytest.mark.parametrize("activation", ["tanh", "none"])
@pytest.mark.parametrize("count", [2, 3, 8])
def test_the_core_starts_at_variance_one_of_any_number_of_branches(count, activation):
    torch.manual_seed(0)
    inputs = {f"b{i}": fk.HeadInput(64) for i in range(count)}
    head = Mutan(inputs, num_classes=3, activation=activation).eval()
    vectors = head.vectors({name: fk.Features(torch.randn(200, 64)) for name in inputs})
    core = head.core({name: head.activation(x) for name, x in vectors.items()})
    assert 0.8 < core.var().item() < 1.25
