"""``fit_head`` hands a head everything at once, and leaves the model as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from toys import ToyPlugin

import fusionkit as fk


class NearestMean(fk.FusionHead):
    """Scores by the distance from the means of the classes."""

    def __init__(self, inputs, *, num_classes, reads="vector"):
        super().__init__()
        self.reads = fk.Reads(vector=True, maps=(0,)) if reads == "both" else reads
        self.register_buffer("means", torch.zeros(num_classes, inputs["a"].embed_dim))
        self.out = nn.Linear(inputs["b"].embed_dim, num_classes)

    def forward(self, features):
        return self.out(features["b"].vector) - torch.cdist(features["a"].vector, self.means)

    def fit(self, features, labels):
        assert not torch.is_grad_enabled()
        self.seen = (features, labels)
        x = features["a"].vector
        self.means.copy_(torch.stack([x[labels == k].mean(0) for k in range(len(self.means))]))


class Heads:
    @fk.hookimpl
    def fusionkit_heads(self):
        return {"nearest": NearestMean}


CATALOG = fk.Catalog.installed().with_plugin("toy", ToyPlugin()).with_plugin("near", Heads())


def build(head="near/nearest", **options):
    torch.manual_seed(0)
    branches = {name: fk.Branch("toy/tiny", weights=None, input=name) for name in "ab"}
    return fk.compose(branches, fk.Head(head, **options), num_classes=3, catalog=CATALOG)


def batches(sizes=(4, 5), labels=(0, 1, 2, 0, 1, 2, 0, 1, 2)):
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor(labels)
    start = 0
    for size in sizes:
        inputs = {name: torch.randn(size, 3, 16, 16, generator=generator) for name in "ab"}
        yield inputs, labels[start : start + size]
        start += size


@pytest.mark.parametrize("reads", ["vector", "both"])
def test_the_head_gets_all_samples_in_order_as_eval_mode_gives_them(reads):
    model = build(reads=reads)
    statistics = {key: value.clone() for key, value in model.branches.state_dict().items()}
    assert fk.fit_head(model, batches()) is model
    assert model.training
    features, labels = model.head.seen
    model.eval()
    expected = [model.features(inputs) for inputs, _ in batches()]
    for name in "ab":
        vector = torch.cat([each[name].vector for each in expected])
        assert torch.equal(features[name].vector, vector)
        if reads == "both":
            (map_,) = features[name].maps
            assert torch.equal(map_, torch.cat([each[name].maps[0] for each in expected]))
    assert labels.tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2]
    for key, value in model.branches.state_dict().items():
        assert torch.equal(value, statistics[key]), key


def test_a_fit_that_fails_leaves_the_mode():
    model = build().eval()
    with pytest.raises(fk.DataError, match="given no batches"):
        fk.fit_head(model, [])
    assert not model.training
    model.train()
    with pytest.raises(fk.DataError):
        fk.fit_head(model, [])
    assert model.training


def test_a_head_without_a_fit_says_so():
    with pytest.raises(fk.AssemblyError, match="Concat is trained by gradient"):
        fk.fit_head(build("concat"), batches())


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.zeros(4), r"batch 0: labels are whole numbers, .* 4 inputs; got torch.float32"),
        (torch.zeros(3, dtype=torch.long), r"shape \(3,\)"),
        (torch.zeros(4, 3, dtype=torch.long), r"shape \(4, 3\)"),
        ([0, 1, 2, 0], "got list"),
        (torch.tensor([0, 1, 2, 3]), "a label 3, and the model has 3 classes"),
        (torch.tensor([0, 1, 2, -1]), "a label -1"),
    ],
    ids=["floats", "too few", "one-hot", "list", "too high", "negative"],
)
def test_wrong_labels_are_named(labels, message):
    inputs, _ = next(batches())
    with pytest.raises(fk.DataError, match=message):
        fk.fit_head(build(), [(inputs, labels)])


def test_a_missing_branch_is_named():
    model = build("mean_logits")
    inputs, labels = next(batches())
    with pytest.raises(fk.DataError, match="branch 'b' has no input"):
        fk.fit_head(model, [({"a": inputs["a"]}, labels)])


def test_scores_of_single_branches():
    model = build("mean_logits").eval()
    inputs, _ = next(batches())
    scores = model.head.branch_scores(model.features(inputs))
    expected = sum(scores.values()) / 2
    torch.testing.assert_close(model(inputs), expected)
    other = build("concat").eval()
    with pytest.raises(fk.AssemblyError, match="Concat gives no scores of single branches"):
        other.head.branch_scores(other.features(inputs))


def test_features_that_are_not_finite_are_named():
    model = build("mean_logits")
    inputs, labels = next(batches())
    inputs["b"][2:] = torch.nan
    with pytest.raises(fk.DataError, match=r"branch 'b' gives NaN .* 2 of 4 samples.*number 2;"):
        fk.fit_head(model, [(inputs, labels)])
