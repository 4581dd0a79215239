"""Classifiers beside any head: its answer stays, and each branch has scores."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from toy_features import NUM_CLASSES, leaves, make_features, make_inputs, perturb
from toys import ToyPlugin

import fusionkit as fk
import fusionkit.testing as kit
from fusionkit.heads.maps.two_stream_maps import TwoStreamMaps
from fusionkit.heads.vectors.concat import Concat
from fusionkit.heads.wrapping.auxiliary import Auxiliary

OPTIONS = [
    {},
    {"head": "concat", "options": {"hidden": 5, "project": 4}, "norm": "batch"},
    {"head": "two_stream_maps", "options": {"hidden": 3}, "norm": "none"},
]


def build(count=3, classifiers=(), **options):
    inputs = make_inputs(count, classifiers=classifiers)
    torch.manual_seed(0)
    head = Auxiliary(inputs, num_classes=NUM_CLASSES, **options)
    perturb(head)
    return head, inputs


@pytest.mark.parametrize("options", OPTIONS, ids=["default", "concat", "maps"])
def test_it_keeps_the_promises_of_every_head(options):
    kit.check_head(partial(Auxiliary, **options))


def test_compilers_take_it():
    report = kit.check_head(Auxiliary, only=["compiles", "exports"])
    assert report["compiles"].status == report["exports"].status == "passed"


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("classifiers", [(), ("audio",)], ids=["new", "stock"])
def test_the_answer_is_the_other_heads_and_scores_are_linear_in_normed_vectors(count, classifiers):
    head, inputs = build(count, classifiers, options={"hidden": 6})
    head.double().eval()
    other = Concat(inputs, num_classes=NUM_CLASSES, hidden=6).double().eval()
    other.load_state_dict(head.head.state_dict())
    features = make_features(head, inputs, dtype=torch.float64)
    assert torch.equal(head(features), other(features))
    scores = head.branch_scores(features)
    assert list(scores) == sorted(inputs)
    for name, actual in scores.items():
        if name in classifiers:
            assert torch.equal(actual, features[name].logits)
            continue
        linear = head.scores.classifiers[name].linear
        for sample, row in enumerate(features[name].vector):
            mean = sum(row) / len(row)
            size = (sum((x - mean) ** 2 for x in row) / len(row) + 1e-12).sqrt()
            for k in range(NUM_CLASSES):
                weighed = sum(
                    w * (x - mean) / size for w, x in zip(linear.weight[k], row, strict=True)
                )
                torch.testing.assert_close(actual[sample, k], weighed + linear.bias[k])


def test_a_loss_on_one_branch_teaches_that_branch_alone():
    head, inputs = build()
    features = make_features(head, inputs, requires_grad=True)
    labels = torch.tensor([0, 1, 3])
    nn.functional.cross_entropy(head.branch_scores(features)["image"], labels).backward()
    for name in inputs:
        assert all(
            (leaf.grad is not None) == (name == "image") for leaf in leaves({name: features[name]})
        )
    learned = {name for name, value in head.named_parameters() if value.grad is not None}
    assert learned == {f"scores.classifiers.image.linear.{leaf}" for leaf in ("weight", "bias")}


def test_it_reads_what_both_read():
    inputs = make_inputs(2, classifiers=["audio"])
    head = Auxiliary(
        inputs,
        num_classes=NUM_CLASSES,
        head="two_stream_maps",
        options={"level": {"audio": 1, "image": 0}},
    )
    assert head.reads == {
        "audio": fk.Reads(maps=(1,), logits=True),
        "image": fk.Reads(vector=True, maps=(0,)),
    }


@pytest.mark.parametrize("fusion", ["sum", "conv"])
def test_it_is_symmetric_and_takes_missing_branches_as_the_other_head_does(fusion):
    inputs = make_inputs(channels=4)
    options = {"fusion": fusion}
    other = TwoStreamMaps(inputs, num_classes=NUM_CLASSES, **options)
    head = Auxiliary(inputs, num_classes=NUM_CLASSES, head="two_stream_maps", options=options)
    assert head.symmetric == other.symmetric
    assert head.takes_missing == other.takes_missing


def test_an_absent_branch_is_the_other_heads_matter_and_has_no_scores():
    head, inputs = build()
    head.eval()
    features = make_features(head, inputs)
    del features["image"]
    assert torch.equal(head(features), head.head(features))
    assert list(head.branch_scores(features)) == ["audio", "text"]


def test_what_the_other_head_fits_is_fitted():
    head, inputs = build()
    with pytest.raises(fk.AssemblyError, match="Concat is trained by gradient"):
        head.fit(make_features(head, inputs), torch.tensor([0, 1, 2]))


class Strict(fk.FusionHead):
    """Reads one branch, takes no missing ones, and fits its scale."""

    def __init__(self, inputs, *, num_classes, gain=1.0):
        super().__init__()
        self.reads = "vector"
        self.out = nn.Linear(sum(each.embed_dim for each in inputs.values()), num_classes)
        self.register_buffer("gain", torch.tensor(gain))

    def forward(self, features):
        joined = torch.cat([features[name].vector for name in sorted(features)], -1)
        return self.gain * self.out(joined)

    def fit(self, features, labels):
        self.gain.fill_(len(labels))


class Votes(Strict):
    """Cannot be trained."""

    trains = False


class Strangers:
    @fk.hookimpl
    def fusionkit_heads(self):
        return {"strict": Strict, "votes": Votes, "broken": lambda inputs, num_classes: "no head"}


CATALOG = fk.Catalog.installed().with_plugin("toy", ToyPlugin()).with_plugin("strange", Strangers())


def compose(head, **options):
    branches = {
        name: fk.Branch("toy/vector", weights=None, input=name, in_channels=5) for name in "ab"
    }
    return fk.compose(
        branches, fk.Head("auxiliary", head=head, **options), num_classes=3, catalog=CATALOG
    )


def batch(size=4):
    return {name: torch.randn(size, 5) for name in "ab"}


def test_strangers_heads_come_from_the_catalog_that_compose_was_given(tmp_path):
    torch.manual_seed(0)
    model = compose("strange/strict", options={"gain": 2.0})
    assert isinstance(model.head.head, Strict)
    assert model.head.head.gain == 2
    assert not model.head.takes_missing
    fk.fit_head(model, [(batch(), torch.tensor([0, 1, 2, 0]))])
    assert model.head.head.gain == 4
    fk.save(model, tmp_path / "model")
    loaded = fk.load(tmp_path / "model", catalog=CATALOG)
    x = batch()
    assert torch.equal(loaded.eval()(x), model.eval()(x))


@pytest.mark.parametrize(
    ("head", "options", "error", "message"),
    [
        ("mean_logits", {}, fk.AssemblyError, "write Head\\('mean_logits', ...\\) without"),
        ("auxiliary", {}, fk.AssemblyError, "the head 'auxiliary' gives scores of single branches"),
        ("strange/votes", {}, fk.AssemblyError, "'strange/votes' cannot be trained"),
        ("strange/broken", {}, fk.AssemblyError, "gave str instead of a fusionkit.FusionHead"),
        (
            3,
            {},
            fk.ConfigError,
            "option head is the other head's name, for example 'concat', got 3",
        ),
        ("concatt", {}, fk.ConfigError, "no head 'concatt'. Did you mean 'concat'"),
        ("concat", {"hiden": 3}, fk.OptionError, "'concat' does not take .*'hiden'"),
        ("concat", {"hidden": -3}, fk.ConfigError, "hidden"),
    ],
)
def test_what_it_refuses(head, options, error, message):
    with pytest.raises(error, match=message):
        compose(head, options=options)


def test_the_catalog_is_no_option():
    with pytest.raises(fk.OptionError, match="catalog of compose"):
        compose("concat", catalog="mine")
