"""Every parameter is in exactly one block of exactly one stage, or the backbone is refused."""

from __future__ import annotations

import pytest
import torch
from odd_toys import PLAIN, OddNet, Tied, Wrapped
from torch import nn

import fusionkit as fk
from fusionkit.model.anatomy import is_norm, read_anatomy, trunk_of


def with_stages(*stages, net=OddNet):
    backbone = net()
    backbone.stages = stages
    return backbone


@pytest.mark.parametrize("net", [kind for name, kind in PLAIN.items() if name != "tokens"])
def test_each_parameter_is_in_one_place_in_the_order_of_blocks(net):
    backbone = net()
    anatomy = read_anatomy(backbone)
    names = [name for name, _ in trunk_of(backbone).named_parameters()]
    assert sorted(slot.name for slot in anatomy.slots) == sorted(names)
    assert [slot.block for slot in anatomy.slots] == sorted(slot.block for slot in anatomy.slots)
    assert [slot.stage for slot in anatomy.slots] == sorted(slot.stage for slot in anatomy.slots)


def test_a_trunks_names_are_its_own():
    names = {slot.name for slot in read_anatomy(Wrapped()).slots}
    assert names == set(Wrapped().trunk.state_dict()) - {
        key for key, _ in Wrapped().trunk.named_buffers()
    }


def test_a_tied_parameter_stands_where_its_first_name_does():
    places = {slot.name: slot.stage for slot in read_anatomy(Tied()).slots}
    assert places["two.weight"] == 1
    assert "three.weight" not in places
    tied_elsewhere = Tied()
    tied_elsewhere.stages = (fk.Stage("one"), fk.Stage("two", "two.bias"), fk.Stage("three"))
    places = {slot.name: slot.stage for slot in read_anatomy(tied_elsewhere).slots}
    assert places["two.weight"] == 2  # known by its other name only


def test_norms_biases_and_decay_are_told():
    class Net(OddNet):
        no_weight_decay = frozenset({"three.weight"})

        def __init__(self):
            super().__init__()
            self.two = nn.Sequential(nn.Conv2d(8, 8, 3), nn.GroupNorm(2, 8))
            self.three = nn.MultiheadAttention(8, 2)
            self.scale = nn.Parameter(torch.ones(8))
            self.stages = (fk.Stage("one"), fk.Stage("two"), fk.Stage("three", ("three", "scale")))

    slots = {slot.name: slot for slot in read_anatomy(Net()).slots}
    assert {name for name, slot in slots.items() if slot.norm} == {"two.1.weight", "two.1.bias"}
    assert {name for name, slot in slots.items() if slot.bias} == {
        *("one.bias", "two.0.bias", "two.1.bias", "three.in_proj_bias", "three.out_proj.bias")
    }
    assert {name for name, slot in slots.items() if slot.decays} == {
        *("one.weight", "two.0.weight", "three.in_proj_weight", "three.out_proj.weight")
    }


def test_foreign_norms_are_known_by_their_class_name():
    class LayerNorm2d(nn.Module): ...

    class RMSNormalized(nn.Module): ...

    assert is_norm(LayerNorm2d())
    assert is_norm(RMSNormalized())
    assert is_norm(nn.InstanceNorm2d(3))
    assert not is_norm(nn.Conv2d(1, 1, 1))


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (
            (fk.Stage("one"), fk.Stage("three")),
            "2 of 6 parameters are in no stage: two.weight, two.bias; name them",
        ),
        (
            (fk.Stage("one"), fk.Stage("two", "two", "one.bias"), fk.Stage("three")),
            "'one.bias' is in 2 blocks, of stage one and two",
        ),
        (
            (fk.Stage("one"), fk.Stage("rest", "two", "tree")),
            "'rest' names 'tree', but the trunk has no such module or parameter. Did you mean",
        ),
        ((fk.Stage("one"), fk.Stage("one", "two", "three")), "two stages are called 'one'"),
        (("one", "two", "three"), "must be a tuple of fusionkit.Stage, got tuple"),
        ([fk.Stage("one")], "must be a tuple of fusionkit.Stage, got list"),
    ],
)
def test_stages_that_do_not_hold_the_parameters_are_refused(stages, message):
    with pytest.raises(fk.AssemblyError, match=message):
        read_anatomy(with_stages(*stages) if isinstance(stages, tuple) else listed(stages))


def listed(stages):
    backbone = OddNet()
    backbone.stages = stages
    return backbone


def test_a_layer_called_stages_is_told():
    class Net(OddNet):
        def __init__(self):
            super().__init__()
            del self.stages
            self.stages = nn.Sequential(nn.Conv2d(8, 8, 3))

    with pytest.raises(fk.AssemblyError, match="got Sequential; a layer of that name has to be"):
        read_anatomy(Net())


def test_parameters_outside_of_the_trunk_are_refused():
    backbone = Wrapped()
    backbone.extra = nn.Linear(2, 2)
    with pytest.raises(fk.AssemblyError, match=r"outside of the trunk 'trunk': extra\.weight"):
        read_anatomy(backbone)
