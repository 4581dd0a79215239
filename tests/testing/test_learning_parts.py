"""What the checks of training are made of."""

from __future__ import annotations

import gc
import weakref
from itertools import pairwise

import torch
from odd_toys import Classifies, SharedModule, Wrapped
from torch import nn
from toys import TinyNet

from fusionkit.testing.backbones.learning.echo import listen, strange
from fusionkit.testing.backbones.learning.first_step import first_step
from fusionkit.testing.backbones.learning.models import frozen_model, learning_model
from fusionkit.testing.backbones.learning.places import backbone_of, places_of
from fusionkit.testing.backbones.learning.steps import other_mates, suffixes
from fusionkit.testing.backbones.learning.tensors import (
    changed,
    plain_tensors,
    same_bits,
    tensors_of,
)
from fusionkit.testing.backbones.subject import BackboneSubject


def test_suffixes_are_all_or_evenly_eight() -> None:
    assert suffixes(0) == []
    assert suffixes(5) == [1, 2, 3, 4, 5]
    many = suffixes(60)
    assert len(many) == 8
    assert many[0] == 1
    assert many[-1] == 60
    assert max(b - a for a, b in pairwise(many)) <= 9


def test_bits_are_compared_as_bits() -> None:
    nan = torch.tensor([float("nan"), 1.0])
    assert same_bits(nan, nan.clone())
    assert not same_bits(nan, torch.tensor([1.0, float("nan")]))
    assert not same_bits(torch.ones(2), torch.ones(1, 2))
    assert not same_bits(torch.ones(2), torch.ones(2).double())
    assert changed({"a": nan, "b": nan}, {"a": nan}) == ["b"]


def test_tensors_are_given_under_every_name() -> None:
    module = nn.ModuleDict({"a": nn.BatchNorm1d(2), "b": nn.BatchNorm1d(2)})
    module["b"].running_mean = module["a"].running_mean
    module["b"].weight = module["a"].weight
    module["a"].kept = [torch.ones(1), {}]
    module.table = {3: torch.ones(1), "x": 1}
    assert {"a.running_mean", "b.running_mean", "b.weight"} <= set(tensors_of(module))
    assert set(plain_tensors(module)) == {"a.kept[0]", "table[3]"}


def test_mates_change_and_the_first_sample_stays() -> None:
    x, y = {"t": torch.zeros(3, 2), "n": 1}, {"t": torch.ones(3, 2), "n": 1}
    assert other_mates(x, y)["t"].tolist() == [[0, 0], [1, 1], [1, 1]]


def test_places_follow_what_is_declared() -> None:
    model = frozen_model(BackboneSubject(SharedModule))
    places = {place.path: place for place in places_of(model)}
    assert places[""].stages == {0, 1, 2}
    assert places["two"].stages == {1}
    assert places["one.1"].stages == {0, 1, 2}
    assert places["two"].is_frozen(frozenset({2}))
    assert not places["two"].is_frozen(frozenset({1}))
    assert places["two"].learns(model.parts["a"].learning(2))
    wrapped = frozen_model(BackboneSubject(Wrapped))
    assert "0.0" in {place.path for place in places_of(wrapped)}


def test_listening_ends_at_the_first_module_that_learns() -> None:
    model = frozen_model(BackboneSubject(TinyNet)).eval()
    places = places_of(model)
    x = torch.randn(2, 3, 16, 16)
    heard = []
    for awake in (frozenset(), frozenset({1})):
        with listen(places, awake) as each, torch.no_grad():
            model(x)
        heard.append(each)
    assert {path for path, _ in heard[1]} == {"stem", "stem.0", "stem.1", "body"}
    assert strange(heard[0], heard[1]) == []
    with listen(places, frozenset()) as other, torch.no_grad():
        model(x + 1)
    assert strange(heard[0], other)[0] == "stem"
    assert not any(module._forward_hooks for module in backbone_of(model).modules())


def test_models_are_copies_that_share_nothing() -> None:
    subject = BackboneSubject(Classifies)
    one, other = frozen_model(subject), learning_model(subject)
    assert not any(value.requires_grad for value in one.branches["a"].parameters())
    assert all(value.requires_grad for value in other.branches["a"].parameters())
    assert not {id(v) for v in one.parameters()} & {id(v) for v in other.parameters()}
    assert changed(tensors_of(one), tensors_of(other)) == []


def test_a_backbone_that_copies_to_itself_is_composed_anew() -> None:
    class Single(TinyNet):
        def __deepcopy__(self, memo):
            return self

    subject = BackboneSubject(Single)
    one, other = frozen_model(subject), frozen_model(subject)
    assert not {id(v) for v in one.parameters()} & {id(v) for v in other.parameters()}


def test_observations_do_not_keep_a_subject_alive() -> None:
    class Fails(TinyNet):
        def forward(self, x, reads):
            if self.training:
                raise RuntimeError("not today")
            return super().forward(x, reads)

    for make in (TinyNet, Fails):
        subject = BackboneSubject(make)
        first_step(subject)
        seen = weakref.ref(subject)
        del subject
        gc.collect()
        assert seen() is None, make
