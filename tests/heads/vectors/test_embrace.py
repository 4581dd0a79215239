"""EmbraceNet against loops in float64: what it expects in eval mode, what it draws in training."""

from __future__ import annotations

import pytest
import torch
from toy_features import (
    NUM_CLASSES,
    assert_same_with_gradients,
    leaves,
    make_features,
    make_inputs,
    perturb,
)
from vector_loops import check, linear, relu, run, vectors_of

import fusionkit as fk
from fusionkit.heads.vectors.embrace import Embrace

GIVEN = {"audio": 1, "image": 5, "text": 2}


def probabilities(head, names, given):
    """What the paper calls p, of the branches that are present."""
    sizes = dict.fromkeys(head.vectors.names, 1.0)
    if given == "learned":
        sizes = dict(zip(sizes, head.weights.log_weights.exp(), strict=True))
    elif given != "equal":
        sizes = given
    total = sum(sizes[name] for name in names)
    return {name: sizes[name] / total for name in names}


def dock(head, vectors):
    return {
        name: [relu(value) for value in linear(head.vectors.blocks[name].linear, row)]
        for name, row in vectors.items()
    }


def expect_with(given):
    def fuse(head, vectors):
        docked = dock(head, vectors)
        p = probabilities(head, vectors, given)
        width = head.classifier[0].in_features
        return [sum(p[name] * docked[name][c] for name in docked) for c in range(width)]

    return fuse


def some(count, given):
    names = list(GIVEN)[:count]
    return {name: given[name] for name in names} if isinstance(given, dict) else given


each_kind = pytest.mark.parametrize(
    "given", ["equal", "learned", GIVEN], ids=["equal", "learned", "given"]
)


@each_kind
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("norm", ["layer", "none"])
def test_in_eval_mode_it_is_the_expectation_in_loops(given, count, norm):
    given = some(count, given)
    check(Embrace, expect_with(given), count=count, norm=norm, width=4, weights=given)


@each_kind
@pytest.mark.parametrize("only", [("image",), ("audio", "text")], ids="-".join)
def test_absent_branches_have_probability_zero(given, only):
    check(Embrace, expect_with(given), count=3, only=only, width=4, weights=given)


def training(count, given, only=None, width=5, batch=3):
    inputs = make_inputs(count)
    torch.manual_seed(0)
    head = Embrace(inputs, num_classes=NUM_CLASSES, width=width, weights=some(count, given))
    head = head.double().train()
    perturb(head)
    features = make_features(head, inputs, dtype=torch.float64, requires_grad=True, batch=batch)
    return head, {name: each for name, each in features.items() if name in (only or inputs)}


@each_kind
@pytest.mark.parametrize("count", [1, 2, 3])
def test_in_training_each_component_is_one_branch_s(given, count):
    """The same numbers drawn, walked through one component at a time."""
    head, features = training(count, given)
    torch.manual_seed(5)
    answer = head(features)
    torch.manual_seed(5)
    numbers = torch.rand(3, 5)
    p = probabilities(head, features, some(count, given))
    rows = []
    for sample in range(3):
        docked = dock(head, vectors_of(features, sample, "layer"))
        row = []
        for c in range(5):
            left = numbers[sample, c].double()
            for name in features:
                chosen = docked[name][c]
                left = left - p[name]
                if left < 0:
                    break
            if given == "learned":  # the gradient of the expectation, and its value taken off
                expected = sum(p[name] * docked[name][c].detach() for name in docked)
                chosen = chosen + expected - expected.detach()
            row.append(chosen)
        rows.append(torch.stack(run(head.classifier, row)))
    wanted = [*leaves(features), *head.parameters()]
    assert_same_with_gradients(answer, torch.stack(rows), wanted)


@each_kind
@pytest.mark.parametrize("only", [None, ("audio", "image")], ids=["all", "two"])
def test_branches_are_drawn_as_often_as_their_probabilities_say(given, only):
    head, features = training(3, given, only, width=1000, batch=20)
    x = head.vectors(features)
    marked = {name: torch.full_like(row, place) for place, (name, row) in enumerate(x.items())}
    drawn = head.draw(marked).round()
    p = probabilities(head, features, given)
    for place, name in enumerate(features):
        share = (drawn == place).double().mean()
        assert abs(share - p[name]) < 0.015, name


def test_samples_and_components_are_drawn_on_their_own():
    head, _ = training(2, "equal")
    row = torch.zeros(4000, 2)
    drawn = head.draw({"audio": row, "image": row + 1})
    both = drawn.prod(1).mean()
    neighbours = (drawn[1:] * drawn[:-1]).mean()
    assert abs(both - 0.25) < 0.03
    assert abs(neighbours - 0.25) < 0.03


def test_eval_mode_is_the_mean_of_what_training_draws():
    head, features = training(3, GIVEN)
    with torch.no_grad():
        drawn = torch.stack([head(features) for _ in range(4000)]).mean(0)
        torch.testing.assert_close(drawn, head.eval()(features), rtol=0, atol=0.05)


def test_a_probability_of_zero_is_never_drawn():
    head, _ = training(3, {"audio": 0.1, "image": 0.2, "text": 0})
    row = torch.zeros(2000, 50)
    assert head.draw({"audio": row, "image": row, "text": row + 1}).max() == 0


@each_kind
def test_training_compiles_to_one_graph(given):
    head, features = training(3, given)

    def run_it(audio, image, text):
        vectors = {"audio": audio, "image": image, "text": text}
        return head({name: fk.Features(vector=x) for name, x in vectors.items()})

    torch._dynamo.reset()
    compiled = torch.compile(run_it, fullgraph=True, backend="aot_eager")
    torch.manual_seed(1)
    expected = run_it(*leaves(features))
    torch.manual_seed(1)
    answer = compiled(*leaves(features))
    torch.testing.assert_close(answer, expected)
    answer.sum().backward()
    torch._dynamo.reset()


def test_weights_are_checked():
    with pytest.raises(fk.ConfigError, match="option weights has no weight for 'image'"):
        Embrace(make_inputs(2), num_classes=NUM_CLASSES, weights={"audio": 1})


def test_each_branch_has_one_probability():
    with pytest.raises(fk.ConfigError, match="before there are classes"):
        Embrace(make_inputs(2), num_classes=NUM_CLASSES, weights="per_class")


def test_probabilities_are_not_fitted():
    with pytest.raises(fk.ConfigError, match="nothing fits the probabilities"):
        Embrace(make_inputs(2), num_classes=NUM_CLASSES, weights="fitted")
