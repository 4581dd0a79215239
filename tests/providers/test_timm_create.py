"""Options reach timm's model, and those that it does not know are refused by name."""

import pytest
import torch
from timm_zoo import ZOO

import fusionkit as fk
from fusionkit.providers.timm.create import RESERVED
from fusionkit.providers.timm.plugin import TimmModels

MODELS = TimmModels()


def test_options_reach_the_model():
    backbone = MODELS["test_resnet"](drop_path_rate=0.3)
    rates = [m.drop_prob for m in backbone.modules() if hasattr(m, "drop_prob")]
    assert max(rates) == pytest.approx(0.3)
    backbone = MODELS["mobilenetv3_small_050"](pad_type="same")
    assert type(backbone.trunk.conv_stem).__name__ == "Conv2dSame"


@pytest.mark.parametrize("name", ZOO)
def test_an_unknown_option_is_a_type_error_that_names_it(name):
    with pytest.raises(fk.OptionError, match=r"takes no option 'drop_path_rat'"):
        MODELS[name](drop_path_rat=0.3)


def test_an_unknown_option_names_near_ones():
    with pytest.raises(TypeError, match=r"Did you mean 'drop_path_rate'"):
        MODELS["test_resnet"](drop_path_rat=0.3)


def test_an_empty_option_is_left_to_timm_and_an_unknown_one_refused():
    assert MODELS["test_resnet"](drop_block_rate=None).embed_dim == 96
    with pytest.raises(fk.OptionError, match=r"takes no option 'zzz'"):
        MODELS["test_resnet"](zzz=None)


@pytest.mark.parametrize("option", RESERVED)
def test_what_fusionkit_decides_itself_is_no_option(option):
    with pytest.raises(fk.OptionError, match=f"takes no option '{option}' here: "):
        MODELS["test_resnet"](**{option: True})


def test_a_wrong_value_is_named():
    with pytest.raises(fk.OptionError, match=r"cannot be built with act_layer='no_such'"):
        MODELS["test_resnet"](act_layer="no_such")


def test_a_model_that_pools_nothing_is_refused():
    with pytest.raises(fk.OptionError, match=r"no pooled vector"):
        MODELS["test_resnet"](global_pool="")


def test_the_random_state_moves_as_far_as_by_timm_alone():
    import timm

    torch.manual_seed(3)
    expected = timm.create_model("resnet10t", num_classes=0)
    after = torch.get_rng_state()
    torch.manual_seed(3)
    backbone = MODELS["resnet10t"]()
    assert torch.equal(torch.get_rng_state(), after)
    for name, value in expected.state_dict().items():
        assert torch.equal(backbone.trunk.state_dict()[name], value), name
