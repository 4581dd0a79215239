"""Whatever changes the features changes the key; F089: change each, expect a miss."""

from __future__ import annotations

import json

import pytest
import torch
from odd_toys import branch, build
from toys import perturb

import fusionkit as fk
from fusionkit.cache import key as key_module
from fusionkit.cache.key import branch_key, digest_of
from fusionkit.cache.weights import Weights

CPU = torch.device("cpu")


def model(head="odd/sum", preprocess="outside", **options) -> fk.FusedModel:
    torch.manual_seed(0)
    settings = {"freeze": fk.Freeze.all(), "preprocessing": fk.Preprocessing(size=(16, 16))}
    built = build(
        {"a": branch("tiny", **{**settings, **options})}, head=head, preprocess=preprocess
    )
    perturb(built)
    return built


def key(built=None, **options):
    settings = {"preparation": "p", "autocast": None, "device": CPU, "dtype": None}
    weights = Weights()
    return branch_key(built or model(), "a", weights=weights, **{**settings, **options})


def test_the_same_branch_has_the_same_key():
    assert key() == key()
    assert len(digest_of(key())) == 32
    assert json.loads(json.dumps(key())) == key()


def poked():
    built = model()
    with torch.no_grad():
        built.branches["a"].stem[0].weight[0, 0, 0, 0] += 1e-6
    return built


def with_other_epsilon():
    built = model()
    built.branches["a"].stem[1].eps = 1e-3
    return built


@pytest.mark.parametrize(
    "other",
    [
        lambda: key(poked()),
        lambda: key(with_other_epsilon()),
        lambda: key(model(options={"width": 8})),
        lambda: key(model(in_channels=4)),
        lambda: key(model(head="odd/maps")),
        lambda: key(model(preprocess="inside")),
        lambda: key(
            model(preprocess="inside", preprocessing=fk.Preprocessing(size=(16, 16), resize=20))
        ),
        lambda: key(model().double()),
        lambda: key(preparation="q"),
        lambda: key(autocast=torch.bfloat16),
        lambda: key(dtype=torch.float16),
        lambda: key(device=torch.device("cuda")),
    ],
)
def test_f089_anything_that_the_features_depend_on_makes_another_key(other):
    changed = digest_of(other())
    assert changed != digest_of(key())


def test_f089_two_sizes_that_the_model_prepares_have_two_keys():
    sizes = (fk.Preprocessing(size=(16, 16)), fk.Preprocessing(size=(16, 16), resize=20))
    keys = [key(model(preprocess="inside", preprocessing=size)) for size in sizes]
    assert digest_of(keys[0]) != digest_of(keys[1])


@pytest.mark.parametrize("what", ["version", "provider", "format"])
def test_f089_versions_are_part_of_the_key(monkeypatch, what):
    built = model()
    before = digest_of(key(built))
    if what == "version":
        monkeypatch.setattr(key_module, "version", lambda _: "99.0")
    elif what == "provider":
        built.provenance["a"] = "toy 99"
    else:
        monkeypatch.setattr(key_module, "FORMAT", 99)
    assert digest_of(key(built)) != before


def test_what_does_not_touch_the_features_is_no_part_of_the_key():
    before = digest_of(key())
    other = model(lr=fk.LR(0.1), freeze=fk.Freeze.gradual(start=5)).train().set_epoch(2)
    with torch.no_grad():
        for parameter in other.head.parameters():
            parameter.add_(1)
    assert digest_of(key(other)) == before


def test_a_library_that_is_not_there_has_no_version():
    assert key_module._version("there-is-no-such-distribution") == ""
