"""What a branch takes along: every kind of layer, unsaved buffers, what its author fixed."""

from __future__ import annotations

import pytest
import torch
from odd_toys import PLAIN, build, images, odd_catalog
from surgery_toys import assert_same, tensors_of
from toys import perturb

import fusionkit as fk


@pytest.mark.parametrize("kind", [*PLAIN, "tiny"])
def test_every_odd_branch_is_taken_over(kind):
    torch.manual_seed(0)
    old = build({"a": kind, "b": "odd"})
    perturb(old)
    with torch.no_grad():
        old(images())  # moves what forward passes in training move
        old.eval()
        expected = old.embed(images())["a"]
    new, report = fk.drop_branch(old, "b", catalog=odd_catalog())
    assert_same(tensors_of(new.branches["a"]), tensors_of(old.branches["a"]))
    with torch.no_grad():
        assert torch.equal(new.embed(images())["a"], expected)
    assert {name for name in report.kept if name.startswith("branches.a.")} == {
        name for name in old.state_dict() if name.startswith("branches.a.")
    }
    learning = {name: p.requires_grad for name, p in old.branches["a"].named_parameters()}
    assert learning == {n: p.requires_grad for n, p in new.branches["a"].named_parameters()}


def test_ties_stay_ties():
    new, _ = fk.drop_branch(build({"a": "tied", "b": "odd"}), "b", catalog=odd_catalog())
    assert new.branches["a"].three.weight is new.branches["a"].two.weight


def test_what_is_known_of_its_weights_stays(tmp_path):
    path = fk.save_backbone(build({"a": "odd"}), "a", tmp_path / "v1.safetensors")
    old = build({"a": fk.Branch("odd/odd", weights=path), "b": "odd"})
    old.branches["a"].license, old.branches["a"].base_model = "mit", "owner/name"
    new, _ = fk.drop_branch(old, "b", catalog=odd_catalog())
    facts = ("weights", "license", "base_model", "load_report", "rebuild")
    for name in facts:
        assert getattr(new.branches["a"], name) == getattr(old.branches["a"], name)
    assert new.branches["a"].weights == "v1.safetensors"
    assert new.branches["a"].load_report.loaded


def test_frozen_parts_do_not_hide_what_its_author_fixed():
    branch = fk.Branch("odd/author_frozen", weights=None, freeze=fk.Freeze.all())
    old = build({"a": branch, "b": "odd"})
    new, _ = fk.drop_branch(old, "b", catalog=odd_catalog())
    assert new.parts["a"].learnable == old.parts["a"].learnable
    assert "one.weight" in new.parts["a"].learnable


def test_a_stock_classifier_goes_when_the_classes_change():
    old = build({"a": "classifies", "b": "classifies"}, "odd/logits")
    assert old.branches["a"].num_classes == 5
    new, report = fk.replace_head(old, "odd/sum", catalog=odd_catalog())
    assert new.branches["a"].num_classes == 5
    assert "branches.a.fc.weight" in report.kept
    new, report = fk.replace_head(old, "odd/sum", num_classes=3, catalog=odd_catalog())
    assert new.branches["a"].num_classes is None
    assert [name for name in report.left if name.startswith("branches.a")] == [
        "branches.a.fc.weight",
        "branches.a.fc.bias",
    ]
