"""Options, and what is said of those that a model does not take."""

from __future__ import annotations

import pytest
import torch
from families import IMAGES, TEXTS, maker, perturb
from fusionkit_transformers.build import build_backbone

import fusionkit as fk

VECTOR = fk.Reads(vector=True)
VIT = IMAGES["vit"]


def vector(backbone: fk.Backbone, x: object) -> torch.Tensor:
    with torch.no_grad():
        return backbone.eval()(x, VECTOR).vector


def test_an_unknown_setting_is_an_option_error() -> None:
    with pytest.raises(
        fk.OptionError, match=r"ViTConfig has no setting 'hiden_size'.*'hidden_size'"
    ):
        build_backbone("vit", config={"hiden_size": 16})
    with pytest.raises(fk.OptionError, match="`config` is a mapping"):
        build_backbone("vit", config=[1])
    with pytest.raises(fk.OptionError, match="cannot be configured with hidden_size='wide'"):
        build_backbone("vit", config={"hidden_size": "wide"})
    with pytest.raises(fk.OptionError, match="ViTModel cannot be built with these settings"):
        build_backbone("vit", config={**VIT, "hidden_act": "none-such"})


def test_an_unknown_option_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="poling"):
        fk.compose(
            {"a": fk.Branch("hf/vit", weights=None, options={"poling": "cls"})},
            head="concat",
            num_classes=2,
        )


def test_weights_of_a_model_type() -> None:
    with pytest.raises(fk.ConfigError, match="is a model type, which has no weights"):
        build_backbone("vit", weights="default")
    with pytest.raises(fk.ConfigError, match=r"has no weights 'v2'.*@revision"):
        build_backbone("vit", weights="v2")


def test_architecture_and_tower() -> None:
    with pytest.raises(fk.OptionError, match=r"no model 'ViTModell'.*'ViTModel'"):
        build_backbone("vit", config=VIT, architecture="ViTModell")
    with pytest.raises(fk.OptionError, match="one tower only"):
        build_backbone("vit", config=VIT, tower="text")
    with pytest.raises(fk.OptionError, match="`tower` is 'vision' or 'text'"):
        build_backbone("clip", tower="both")


def test_models_of_other_kinds_are_refused() -> None:
    with pytest.raises(fk.AssemblyError, match="takes 'input_features', neither images nor text"):
        build_backbone("whisper")
    with pytest.raises(fk.AssemblyError, match="leaves out patches at random"):
        build_backbone("vit_mae", config=VIT)
    with pytest.raises(fk.ConfigError, match="is a timm model"):
        build_backbone("timm_wrapper")
    with pytest.raises(fk.AssemblyError, match="cannot be run on images alone"):
        build_backbone("videomae", config={**VIT, "num_frames": 4})


def test_pooling_of_images() -> None:
    x = maker("vit")().example(2)
    torch.manual_seed(0)
    pooled = maker("vit")()
    cls, mean = maker("vit", pooling="cls")(), maker("vit", pooling="mean")()
    for other in (cls, mean):
        assert other.dropped_keys == ("pooler.*",)
        other.trunk.load_state_dict(
            {k: v for k, v in pooled.trunk.state_dict().items() if not k.startswith("pooler")}
        )
    hidden = pooled.eval().trunk(x).last_hidden_state
    assert torch.equal(vector(cls, x), hidden[:, 0])
    torch.testing.assert_close(vector(mean, x), hidden[:, 1:].mean(1))
    with pytest.raises(fk.OptionError, match="has no class token"):
        maker("siglip_vision_model", pooling="cls")()
    with pytest.raises(fk.OptionError, match="has no pooler"):
        maker("vit_msn", pooling="pooler")()
    with pytest.raises(fk.OptionError, match="`pooling` is one of"):
        maker("vit", pooling="max")()
    with pytest.raises(fk.OptionError, match="its own classifier or maps decide"):
        maker("vit", architecture="ViTForImageClassification", pooling="cls")()


@pytest.mark.parametrize("pooling", ["pooler", "cls", "mean", "last"])
def test_pooling_of_texts(pooling: str) -> None:
    backbone = maker("bert", pooling=pooling)().eval()
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    with torch.no_grad():
        output = backbone.trunk(ids, attention_mask=mask)
    hidden = output.last_hidden_state
    expected = {
        "pooler": output.pooler_output,
        "cls": hidden[:, 0],
        "last": torch.stack((hidden[0, 3], hidden[1, 1])),
        "mean": torch.stack((hidden[0].mean(0), hidden[1, :2].mean(0))),
    }[pooling]
    given = vector(backbone, {"input_ids": ids, "attention_mask": mask})
    torch.testing.assert_close(given, expected)
    without = vector(backbone, {"input_ids": ids[:1]})
    torch.testing.assert_close(without, expected[:1])
    with pytest.raises(fk.OptionError, match="has no pooler"):
        maker("modernbert", pooling="pooler")()


def test_images_of_any_size_on_request() -> None:
    assert maker("vit")().fixed_size == (32, 32)
    torch.manual_seed(0)
    backbone = maker("vit", interpolate_pos_encoding=True)()
    perturb(backbone)
    assert (backbone.fixed_size, backbone.size_multiple) == (None, 8)
    x = torch.randn(2, 3, 48, 40)
    with torch.no_grad():
        expected = backbone.eval().trunk(x, interpolate_pos_encoding=True).pooler_output
        features = backbone(x, fk.Reads(vector=True, maps=(0,)))
    assert torch.equal(features.vector, expected)
    assert features.maps[0].shape == (2, 16, 6, 5)
    with pytest.raises(fk.OptionError, match="takes no `interpolate_pos_encoding`"):
        maker("resnet", interpolate_pos_encoding=True)()
    with pytest.raises(fk.OptionError, match="takes texts; leave interpolate_pos_encoding out"):
        maker("bert", interpolate_pos_encoding=True)()


def test_attention_by_another_implementation() -> None:
    eager = maker("vit", attn_implementation="eager")()
    assert eager.trunk.config._attn_implementation == "eager"
    plain = maker("vit")()
    plain.trunk.load_state_dict(eager.trunk.state_dict())
    x = eager.example(2)
    torch.testing.assert_close(vector(eager, x), vector(plain, x))
    with pytest.raises(fk.OptionError, match="ViTModel cannot be built"):
        maker("vit", attn_implementation="by-hand")()


def test_a_text_branch_has_no_channels() -> None:
    with pytest.raises(fk.AssemblyError, match="takes texts, which have no channels"):
        maker("bert")(in_channels=1)


def test_settings_of_one_tower() -> None:
    towers = {"vision_config": VIT, "text_config": TEXTS["clip_text_model"]}
    backbone = build_backbone("clip", config=towers)
    assert (backbone.embed_dim, len(backbone.levels)) == (16, 3)
    text = build_backbone("clip", config=towers, tower="text")
    assert text.levels == ()


def test_no_weight_decay_for_positions_and_tokens() -> None:
    backbone = maker("dinov2_with_registers")()
    leaves = {name.rpartition(".")[2] for name in backbone.no_weight_decay}
    assert leaves == {"cls_token", "mask_token", "register_tokens", "position_embeddings"}
    assert maker("bert")().no_weight_decay == frozenset()
