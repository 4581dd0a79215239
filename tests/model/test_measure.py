"""What a backbone does not declare is measured, without leaving a trace in it."""

from __future__ import annotations

import weakref

import pytest
import torch
from odd_toys import (
    PLAIN,
    SIZE,
    Caches,
    Classifies,
    KeepsForever,
    OddNet,
    Tokens,
    build,
    images,
)
from torch import nn
from toys import TinyNet

import fusionkit as fk
from fusionkit.model.anatomy import read_anatomy
from fusionkit.model.measure import measure_stages, unread_parameters

VECTOR = fk.Reads(vector=True)


class Undeclared(OddNet):
    """Its children run in another order than they are registered in."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        del self.stages

    def forward(self, x, reads):
        for layer in (self.one, self.three, self.two):
            x = layer(x)
        return fk.Features(x.mean((2, 3)))


def test_stages_follow_the_order_in_which_children_run():
    assert [stage.name for stage in measure_stages(Undeclared())] == ["one", "three", "two"]


def test_a_containers_members_are_blocks_and_silent_modules_go_with_what_ran_before():
    stem, body, top = measure_stages(TinyNet(declare=False))
    assert stem == fk.Stage("stem", "stem.0", ("stem.1", "drop"))
    assert body == fk.Stage("body", "body.0", "body.1", "body.3")
    assert top == fk.Stage("top")


def test_a_class_token_goes_with_the_first_stage_and_attention_counts_as_run():
    """Its output layer is used by a function, not called."""
    backbone = Tokens()
    backbone.stages = measure_stages(backbone)
    names = [stage.name for stage in backbone.stages]
    assert names == ["embed", "blocks", "norm"]
    assert backbone.stages[0].blocks == (("embed", "cls_token", "mask_token"),)
    assert list(backbone.stages[1].blocks) == [(f"blocks.{i}",) for i in range(4)]
    assert len(read_anatomy(backbone).slots) == len(list(backbone.parameters()))


def test_a_single_container_is_opened():
    class Nested(fk.Backbone):
        def __init__(self):
            super().__init__()
            self.embed_dim = 8
            self.fixed_size = (SIZE, SIZE)
            self.net = nn.Module()
            self.net.position = nn.Parameter(torch.zeros(8, 1, 1))
            self.net.layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))

        def forward(self, x, reads):
            return fk.Features((self.net.layers(x) + self.net.position).mean((2, 3)))

    stages = measure_stages(Nested())
    assert [stage.name for stage in stages] == ["net.layers.0", "net.layers.2"]
    assert stages[0].blocks == (("net.layers.0", "net.position", "net.layers.1"),)


def test_a_layer_that_does_not_run_is_refused():
    class Idle(Undeclared):
        def __init__(self):
            super().__init__()
            self.auxiliary = nn.Linear(8, 8)

    with pytest.raises(fk.AssemblyError, match=r"depth of 'auxiliary\.weight' is unknown: its mod"):
        measure_stages(Idle())


def test_f018_a_backbone_that_fails_on_its_own_example_is_refused():
    class Fails(Undeclared):
        def forward(self, x, reads):
            raise ValueError("sides must be 7")

    for measure in (measure_stages, lambda net: unread_parameters(net, VECTOR)):
        with pytest.raises(fk.AssemblyError, match="its own example: ValueError: sides must be 7"):
            measure(Fails())


def test_one_that_needs_values_is_run_for_real():
    class NeedsValues(Undeclared):
        def forward(self, x, reads):
            if float(x.mean()) > 1e9:
                raise ValueError("too bright")
            return super().forward(x, reads)

    assert [stage.name for stage in measure_stages(NeedsValues())] == ["one", "three", "two"]
    assert unread_parameters(NeedsValues(), VECTOR) == frozenset()


@pytest.mark.parametrize(
    ("reads", "unread"),
    [
        (fk.Reads(vector=True), {"fc.weight", "fc.bias"}),
        (fk.Reads(maps=(2,)), {"fc.weight", "fc.bias"}),
        (fk.Reads(maps=(1,)), {"fc.weight", "fc.bias", "three.weight", "three.bias"}),
        (fk.Reads(logits=True), set()),
        (fk.Reads(vector=True, logits=True), set()),
    ],
)
def test_what_lies_behind_what_is_read_is_unread(reads, unread):
    assert unread_parameters(Classifies(num_classes=4), reads) == unread


def test_a_token_that_nobody_reads_is_unread():
    assert unread_parameters(Tokens(), VECTOR) == {"mask_token"}


def test_what_the_author_froze_is_read_all_the_same():
    backbone = OddNet()
    backbone.requires_grad_(False)
    assert unread_parameters(backbone, VECTOR) == frozenset()
    assert not any(value.requires_grad for value in backbone.parameters())


def test_what_is_computed_without_a_gradient_is_unread():
    class Stops(OddNet):
        def forward(self, x, reads):
            return fk.Features(self.three(self.two(self.one(x)).detach()).mean((2, 3)))

    stopped = {"one.weight", "one.bias", "two.weight", "two.bias"}
    assert unread_parameters(Stops(), VECTOR) == stopped


@pytest.mark.parametrize("kind", [Undeclared, Caches, KeepsForever, Tokens])
def test_measuring_leaves_no_trace(kind):
    backbone = kind().train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    attributes = {name: dict(module.__dict__) for name, module in backbone.named_modules()}
    state = torch.get_rng_state()
    measure_stages(backbone)
    unread_parameters(backbone, VECTOR)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in backbone.modules())
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    for name, module in backbone.named_modules():
        assert module.__dict__.keys() == attributes[name].keys()
        assert not module._forward_pre_hooks
        for key in ("table", "kept"):
            assert getattr(module, key, None) is None


def test_an_example_drawn_at_random_does_not_change_what_comes_after():
    class Draws(Undeclared):
        def example(self, batch=2):
            return torch.randn(batch, 3, SIZE, SIZE)

    backbone = Draws()
    state = torch.get_rng_state()
    measure_stages(backbone)
    unread_parameters(backbone, VECTOR)
    assert torch.equal(torch.get_rng_state(), state)


def test_one_that_keeps_what_it_first_saw_has_seen_nothing_when_it_is_composed():
    model = build({"a": "keeps_forever"})
    assert model.branches["a"].kept is None
    assert model(images()).shape == (4, 5)


@pytest.mark.parametrize("net", PLAIN)
def test_measuring_holds_and_computes_no_value(net, monkeypatch):
    def copies(*_):
        raise MemoryError("the parameters were copied")

    monkeypatch.setattr("fusionkit.model.measure._real_twin", copies)
    backbone = PLAIN[net]()
    backbone.example = images
    unread_parameters(backbone, VECTOR)


def test_measuring_keeps_nothing_for_a_backward_pass():
    kept = []

    class Deep(OddNet):
        def forward(self, x, reads):
            if float(x.mean()) > 1e9:  # so that it runs for real
                raise ValueError("too bright")
            for layer in (self.one, self.two, self.three):
                kept.append([value for value in watched if value() is not None])
                x = layer(x).exp()  # whose gradient needs its result
                watched.append(weakref.ref(x))
            return fk.Features(x.mean((2, 3)))

    watched = []
    assert unread_parameters(Deep(), VECTOR) == frozenset()
    assert [len(alive) for alive in kept] == [0, 1, 1]


def test_building_copies_no_parameter():
    kept = []

    class Watched(OddNet):
        def __init__(self, in_channels):
            super().__init__(in_channels)
            kept.extend(value.data_ptr() for value in self.parameters())

    from odd_toys import odd_catalog

    catalog = odd_catalog(
        {"watched": lambda *, in_channels, weights, num_classes: Watched(in_channels)}
    )
    model = fk.compose({"a": fk.Branch("odd/watched", weights=None)}, "odd/sum", 5, catalog=catalog)
    assert [value.data_ptr() for value in model.branches["a"].parameters()] == kept
