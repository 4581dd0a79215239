"""Stages hold every parameter once, in the order in which they run."""

import fnmatch

import pytest
import timm
import torch
from timm_zoo import ZOO

import fusionkit as fk
from fusionkit.model.anatomy import read_anatomy
from fusionkit.providers.timm.plugin import TimmModels

MODELS = TimmModels()

pytestmark = pytest.mark.usefixtures("nothing_known")


def build(name, **arguments):
    return MODELS[name](**arguments, **ZOO[name])


def first_runs(backbone):
    """Gives when each module that holds parameters first runs, on a real input."""
    runs = {}

    def note(path):
        def hook(*_):
            runs.setdefault(path, len(runs))

        return hook

    for path, module in backbone.trunk.named_modules():
        if list(module.parameters(recurse=False)):
            module.register_forward_pre_hook(note(path))
    reads = fk.Reads(vector=True, logits=backbone.num_classes is not None)
    with torch.no_grad():
        backbone.eval()(backbone.example(1), reads)
    return runs


@pytest.mark.parametrize("name", ZOO)
def test_every_parameter_is_in_one_block_of_one_stage(name):
    own = timm.models.get_pretrained_cfg(name).num_classes
    for num_classes in {None, own or None}:
        with torch.device("meta"):
            backbone = build(name, num_classes=num_classes)
        anatomy = read_anatomy(backbone)
        parameters = [name for name, _ in backbone.trunk.named_parameters()]
        assert sorted(slot.name for slot in anatomy.slots) == sorted(parameters)
        assert anatomy.stages[0] == "stem"
        assert len(anatomy.stages) > 2
        assert (anatomy.stages[-1] == "classifier") == (num_classes is not None)


@pytest.mark.parametrize("name", ZOO)
def test_stages_and_blocks_stand_in_the_order_in_which_they_run(name):
    own = timm.models.get_pretrained_cfg(name).num_classes
    backbone = build(name, num_classes=own or None)
    runs = first_runs(backbone)
    block_of = {slot.name: slot.block for slot in read_anatomy(backbone).slots}
    trunk = backbone.trunk
    starts = {}
    for parameter, block in block_of.items():
        when = runs.get(parameter.rpartition(".")[0])
        if when is not None and trunk.get_parameter(parameter).ndim > 1 and "." in parameter:
            starts.setdefault(block, []).append(when)
    firsts = [min(whens) for _, whens in sorted(starts.items())]
    assert firsts == sorted(firsts)


@pytest.mark.parametrize("name", ZOO)
def test_dropped_keys_are_exactly_what_a_stock_checkpoint_has_more(name):
    with torch.device("meta"):
        backbone = build(name)
        stock = timm.create_model(name, **ZOO[name]).state_dict()
    own = backbone.trunk.state_dict()
    more = {
        key for key in stock if any(fnmatch.fnmatch(key, glob) for glob in backbone.dropped_keys)
    }
    assert set(stock) - more == set(own)
    assert {key: value.shape for key, value in own.items()} == {
        key: stock[key].shape for key in own
    }


@pytest.mark.parametrize(
    ("name", "stages", "blocks"),
    [
        ("resnet10t", ["stem", "layer1", "layer2", "layer3", "layer4"], 5),
        ("vit_tiny_patch16_224", ["stem", *(f"blocks.{i}" for i in range(12))], 13),
        ("pit_ti_224", ["stem", "transformers.0", "transformers.1", "transformers.2"], 13),
        ("poolformerv2_s12", ["stem", "stages.0", "stages.1", "stages.2", "stages.3"], 13),
        ("efficientvim_m1_dist", ["stem", "stages.0", "stages.1", "stages.2"], 7),
    ],
)
def test_stages_have_the_names_that_a_reader_expects(name, stages, blocks):
    backbone = build(name)
    assert [stage.name for stage in backbone.stages] == stages
    assert sum(len(stage.blocks) for stage in backbone.stages) == blocks


def test_a_group_that_runs_in_two_places_is_two_stages():
    names = [stage.name for stage in build("cait_xxs24_224").stages]
    assert names[-4:] == ["blocks.22", "blocks.23", "blocks_token_only.0", "blocks_token_only.1"]


def test_a_norm_after_the_last_block_goes_with_it():
    assert build("vit_tiny_patch16_224").stages[-1].blocks == (("blocks.11", "norm"),)


def test_what_is_large_after_the_trunk_is_a_stage_of_its_own():
    names = [stage.name for stage in build("mobilenetv3_small_050", num_classes=1000).stages]
    assert names[-2:] == ["conv_head", "classifier"]


def test_parameters_without_weight_decay_are_those_that_timm_names():
    backbone = build("vit_tiny_patch16_224")
    assert {"pos_embed", "cls_token"} <= backbone.no_weight_decay
    known = {name for name, _ in backbone.trunk.named_parameters()}
    assert backbone.no_weight_decay <= known
    swin = build("swin_tiny_patch4_window7_224")
    assert any(name.endswith("relative_position_bias_table") for name in swin.no_weight_decay)
