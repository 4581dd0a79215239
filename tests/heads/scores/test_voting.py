"""Majority and ranked votes, counted by hand and in loops."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from toy_features import NUM_CLASSES, make_features, make_inputs, perturb

import fusionkit as fk
import fusionkit.testing as kit
from fusionkit.heads.scores.ensemble import MeanProbabilities
from fusionkit.heads.scores.voting import MajorityVote, RankVote

HEADS = (MajorityVote, RankVote)
NAMES = ("audio", "image", "text")
each_head = pytest.mark.parametrize("make", HEADS, ids=lambda make: make.__name__)


def chances_of(row):
    exps = [math.exp(value) for value in row]
    return [value / sum(exps) for value in exps]


def points(make, row):
    if make is MajorityVote:
        return [1 if value == max(row) else 0 for value in row]
    return [sum(other < value for other in row) for value in row]


def reference(make, features, count):
    rows = []
    for b in range(count):
        totals = [0.0] * NUM_CLASSES
        for each in features.values():
            row = each.logits[b].tolist()
            for k in range(NUM_CLASSES):
                totals[k] += points(make, row)[k] + chances_of(row)[k] / len(features)
        rows.append([math.log(total / sum(totals)) for total in totals])
    return torch.tensor(rows, dtype=torch.float64)


@each_head
@pytest.mark.parametrize("count", [1, 2, 3])
def test_equals_counting_in_loops(make, count):
    inputs = make_inputs(count, classifiers=NAMES)
    head = make(inputs, num_classes=NUM_CLASSES).eval()
    features = make_features(head, inputs, batch=20, dtype=torch.float64)
    torch.testing.assert_close(head(features), reference(make, features, 20))


@each_head
@pytest.mark.parametrize(
    "row",
    [
        [-400.0, 0.0, -200.0, -300.0],
        [1.0, 0.0, 1.0, 0.0],
        [2.0, 2.0, 2.0, 2.0],
        [0.0, -200, -200, 1],
    ],
    ids=["far apart", "two ties", "one tie", "far apart, a tie"],
)
def test_votes_go_by_scores_of_which_equal_ones_get_equal_ranks(make, row):
    """In float32 the probabilities of scores 200 below the largest are zero."""
    head = make(make_inputs(1, classifiers=NAMES), num_classes=NUM_CLASSES).eval()
    votes = head.vote(torch.tensor([row]))
    if make is RankVote:
        assert votes.tolist() == [points(make, row)]
    else:
        assert votes.tolist() == [[1 if k == row.index(max(row)) else 0 for k in range(4)]]


def ballots(*orders):
    """Branches that rank classes, the best first, and are hardly surer of one than of another."""
    features = {}
    for name, order in zip(NAMES, orders, strict=False):
        logits = torch.zeros(1, len(order))
        for place, k in enumerate(order):
            logits[0, k] = -0.01 * place
        features[name] = fk.Features(logits=logits)
    inputs = {name: fk.HeadInput(5, num_classes=len(orders[0])) for name in features}
    return inputs, features


def test_a_majority_and_a_rank_vote_may_find_different_winners():
    # 0 leads two ballots of three, and is last of the third; 1 is never worse than second.
    inputs, features = ballots([0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [1, 2, 3, 4, 0])
    winners = [make(inputs, num_classes=5).eval()(features).argmax(1).item() for make in HEADS]
    assert winners == [0, 1]


def test_a_tie_goes_to_the_more_probable_class_and_no_surety_beats_a_vote():
    sure = fk.Features(logits=torch.tensor([[0.0, 50.0, 0.0]]))
    unsure = fk.Features(logits=torch.tensor([[0.01, 0.0, 0.0]]))
    inputs = {name: fk.HeadInput(5, num_classes=3) for name in NAMES}
    head = MajorityVote(inputs, num_classes=3).eval()
    assert head({"audio": sure, "image": unsure}).argmax(1) == 1
    assert head({"audio": sure, "image": unsure, "text": unsure}).argmax(1) == 0


def test_with_two_classes_ranks_are_a_majority():
    inputs = {name: fk.HeadInput(5, num_classes=2) for name in NAMES}
    heads = [make(inputs, num_classes=2).eval() for make in HEADS]
    features = {
        name: fk.Features(logits=torch.randn(9, 2, generator=torch.Generator().manual_seed(i)))
        for i, name in enumerate(NAMES)
    }
    torch.testing.assert_close(heads[0](features), heads[1](features))


@each_head
def test_the_output_is_the_logarithm_of_shares_and_always_finite(make):
    inputs = make_inputs(3, classifiers=NAMES)
    head = make(inputs, num_classes=NUM_CLASSES).eval()
    features = make_features(head, inputs)
    torch.testing.assert_close(head(features).exp().sum(1), torch.ones(3))
    certain = {name: fk.Features(logits=1e4 * features["audio"].logits) for name in features}
    assert head(certain).isfinite().all()


@each_head
def test_an_absent_branch_does_not_vote(make):
    inputs = make_inputs(3, classifiers=NAMES)
    head = make(inputs, num_classes=NUM_CLASSES).eval()
    features = make_features(head, inputs, dtype=torch.float64)
    del features["image"]
    torch.testing.assert_close(head(features), reference(make, features, 3))


@each_head
def test_in_train_mode_it_says_under_what_to_train(make):
    inputs = make_inputs(2, classifiers=NAMES)
    head = make(inputs, num_classes=NUM_CLASSES).train()
    assert not make.trains
    message = f"{make.__name__} is for inference: .* such as 'mean_probabilities'.*eval"
    with pytest.raises(fk.AssemblyError, match=message):
        head(make_features(head, inputs))


@each_head
def test_what_was_trained_under_another_head_votes(make):
    inputs = make_inputs(3, classifiers=["image"])
    trained = MeanProbabilities(inputs, num_classes=NUM_CLASSES)
    perturb(trained)
    head = make(inputs, num_classes=NUM_CLASSES)
    head.load_state_dict(trained.state_dict(), strict=True)
    features = make_features(head.eval(), inputs)
    own = trained.branch_scores(features)
    for name, scores in head.branch_scores(features).items():
        assert torch.equal(scores, own[name])
    assert not any(value.requires_grad for value in head.parameters())


@each_head
def test_stock_classifiers_leave_nothing_to_fit(make):
    inputs = make_inputs(2, classifiers=NAMES)
    head = make(inputs, num_classes=NUM_CLASSES).eval()
    with pytest.raises(fk.AssemblyError, match="the branches' own classifiers, and has nothing"):
        head.fit(make_features(head, inputs), torch.tensor([0, 1, 2]))


@each_head
@pytest.mark.parametrize("options", [{}, {"norm": "batch"}], ids=str)
def test_they_keep_the_promises_of_every_head(make, options):
    report = kit.check_head(partial(make, **options))
    assert report["fit_learns"].status == "passed"


@each_head
def test_compilers_take_them(make):
    report = kit.check_head(make, only=["compiles", "exports"])
    assert report["compiles"].status == report["exports"].status == "passed"
