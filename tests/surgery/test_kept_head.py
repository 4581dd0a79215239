"""What of a head is kept: what belongs to a branch that stays, and depends on no other."""

from __future__ import annotations

import pytest
import torch
from surgery_toys import fused
from torch import nn
from toys import ToyPlugin, perturb

import fusionkit as fk

SAME = fk.Branch("toy/tiny", weights=None, input="flow", in_channels=5)


class Gated(fk.FusionHead):
    """Each branch has a layer of its own, a gate that sees all, and there is a joint layer."""

    def __init__(self, inputs, *, num_classes, equal=False, least=1) -> None:
        super().__init__()
        widths = {each.embed_dim for each in inputs.values()}
        if (equal and len(widths) > 1) or len(inputs) < least:
            raise fk.AssemblyError("these branches do not fit")
        total = sum(each.embed_dim for each in inputs.values())
        self.reads = "vector"
        self.own = nn.ModuleDict({n: nn.Linear(each.embed_dim, 4) for n, each in inputs.items()})
        self.gates = nn.ModuleDict({n: nn.Linear(total, 4) for n in inputs})
        self.joint = nn.Linear(4, num_classes)
        self.shares = nn.Parameter(torch.ones(len(inputs)))

    def forward(self, features):
        every = torch.cat([each.vector for each in features.values()], 1)
        return self.joint(
            sum(
                self.own[name](each.vector) * self.gates[name](every).sigmoid()
                for name, each in features.items()
            )
            * self.shares.mean()
        )


class Plugin(ToyPlugin):
    @fk.hookimpl
    def fusionkit_heads(self):
        return {"gated": Gated}


CATALOG = fk.Catalog().with_plugin("toy", Plugin())


def gated(**options):
    branches = {name: fk.Branch("toy/tiny", weights=None) for name in ("a", "b")}
    head = fk.Head("toy/gated", **options)
    model = fk.compose(branches, head, num_classes=3, catalog=CATALOG)
    perturb(model)
    return model


def kept_of(report):
    return {name.removeprefix("head.") for name in report.kept if name.startswith("head.")}


OWN = {"own.a.weight", "own.a.bias"}
BIAS = {"gates.a.bias"}


@pytest.mark.parametrize("options", [{}, {"equal": True}, {"least": 2}], ids=str)
def test_a_layer_that_reads_an_exchanged_branch_of_the_same_width_is_not_kept(options):
    model = gated(**options)
    branch = fk.Branch("toy/tiny", weights=None)
    new, report = fk.replace_branch(model, "b", branch, catalog=CATALOG)
    assert new.head.gates["a"].weight.shape == model.head.gates["a"].weight.shape
    assert kept_of(report) == OWN | BIAS
    assert torch.equal(new.head.own["a"].weight, model.head.own["a"].weight)


def test_where_it_cannot_be_told_nothing_is_kept():
    model = gated(equal=True, least=2)
    branch = fk.Branch("toy/tiny", weights=None)
    _, report = fk.replace_branch(model, "b", branch, catalog=CATALOG)
    assert kept_of(report) == set()


def test_one_more_and_one_less():
    branch = fk.Branch("toy/tiny", weights=None)
    _, report = fk.add_branch(gated(), "c", branch, catalog=CATALOG)
    assert kept_of(report) == OWN | BIAS | {"own.b.weight", "own.b.bias", "gates.b.bias"}
    _, report = fk.drop_branch(gated(), "b", catalog=CATALOG)
    assert kept_of(report) == OWN | BIAS


def test_another_head_keeps_nothing():
    model = gated()
    catalog = CATALOG.with_plugin("more", Plugin())
    head = fk.Head("more/gated")
    new, report = fk.drop_branch(model, "b", head=head, catalog=catalog)
    assert kept_of(report) == set()
    assert new.recipe.head.name == "more/gated"


@pytest.mark.parametrize(
    ("head", "some"),
    [
        ("mean_logits", "scores.classifiers.flow.linear.weight"),
        ("gated_multimodal", "projections.flow.weight"),
        ("two_stream", "scores.classifiers.flow.linear.weight"),
        ("sum_vectors", "vectors.blocks.flow.linear.weight"),
        ("concat", None),
    ],
    ids=str,
)
def test_the_projects_own_heads(head, some):
    catalog = fk.Catalog.installed().with_plugin("toy", ToyPlugin())
    branches = {
        "rgb": fk.Branch("toy/tiny", weights=None),
        "flow": SAME,
    }
    model = fk.compose(branches, head, num_classes=3, catalog=catalog)
    perturb(model)
    rgb = fk.Branch("toy/tiny", weights=None)
    new, report = fk.replace_branch(model, "rgb", rgb, catalog=catalog)
    kept = kept_of(report)
    assert (some in kept) if some else not kept
    assert not [name for name in kept if "rgb" in name]
    for name in kept:
        assert torch.equal(new.head.state_dict()[name], model.head.state_dict()[name])


def test_options_that_name_a_branch_are_the_heads_business():
    catalog = fk.Catalog.installed().with_plugin("toy", ToyPlugin())
    head = fk.Head("mean_logits", weights={"rgb": 0.7, "flow": 0.3})
    model = fused()
    branches = dict(model.recipe.branches)
    model = fk.compose(branches, head, num_classes=3, catalog=catalog)
    with pytest.raises(fk.ConfigError, match="rgb"):
        fk.drop_branch(model, "rgb", catalog=catalog)
    new, report = fk.drop_branch(model, "rgb", head="mean_logits", catalog=catalog)
    assert new.recipe.head.options == {}
    assert "head.scores.classifiers.flow.linear.weight" in report.kept
