"""Transformer layers, against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from toy_features import assert_same_with_gradients, perturb

import fusionkit as fk
from fusionkit.heads.parts.transformer import Attention, ReGLU, Transformer, TransformerBlock


def theirs(block):
    """Gives torch's layer with the same weights, apart from how it keeps them."""
    width, hidden = block.attention.query.in_features, block.mlp.widen.out_features
    layer = nn.TransformerEncoderLayer(
        width,
        block.attention.heads,
        hidden,
        dropout=0.0,
        activation="gelu",
        batch_first=True,
        norm_first=True,
    ).double()
    own, attention = block.state_dict(), block.attention
    own = {name: value for name, value in own.items() if not name.startswith("attention")}
    names = {"norm": "norm1", "mlp.norm": "norm2", "mlp.widen": "linear1", "mlp.narrow": "linear2"}
    state = {
        f"{names[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": value
        for key, value in own.items()
    }
    inner = (attention.query, attention.key, attention.value)
    state["self_attn.in_proj_weight"] = torch.cat([each.weight for each in inner])
    state["self_attn.in_proj_bias"] = torch.cat([each.bias for each in inner])
    state["self_attn.out_proj.weight"] = attention.out.weight
    state["self_attn.out_proj.bias"] = attention.out.bias
    layer.load_state_dict(state)
    return layer


def test_a_block_is_torchs_own_layer_with_the_norm_first():
    block = TransformerBlock(8, 2, 3.0, 0.0, "gelu").double()
    perturb(block)
    x = torch.randn(2, 5, 8, dtype=torch.float64, requires_grad=True)
    assert_same_with_gradients(block(x), theirs(block)(x), [x])


def test_attention_to_itself_by_name_is_the_same():
    block = TransformerBlock(8, 2, 1.0, 0.0, "reglu").double()
    perturb(block)
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    torch.testing.assert_close(block(x, x.clone()), block(x))
    assert not torch.allclose(block(x, x[:, 1:]), block(x))


def test_attention_to_no_tokens_adds_nothing():
    block = TransformerBlock(8, 2, 1.0, 0.0, "relu")
    x = torch.randn(2, 5, 8)
    torch.testing.assert_close(block(x, x[:, :0]), x + block.mlp(x))


def test_reglu_multiplies_one_half_by_the_rectified_other():
    assert ReGLU()(torch.tensor([2.0, 3.0, -1.0, 4.0])).tolist() == [0.0, 12.0]


def test_dropout_reaches_the_attention_weights_in_training_only():
    attention = Attention(8, 2, dropout=0.5)
    x = torch.randn(2, 9, 8)
    torch.manual_seed(0)
    one, other = attention(x, x), attention(x, x)
    assert not torch.allclose(one, other)
    attention.eval()
    assert torch.equal(attention(x, x), attention(x, x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 3}, "3 heads cannot share a width of 8 equally; write for example width=9"),
        ({"heads": 0}, "option heads takes a whole number of at least 1, got 0"),
        ({"depth": 0}, "option depth takes a whole number of at least 1, got 0"),
        ({"mlp_ratio": 0}, "option mlp_ratio is a positive number, at most 1000, got 0"),
        ({"mlp_ratio": 1e30}, "at most 1000, got 1e+30"),
        ({"mlp_ratio": "4"}, "option mlp_ratio is a positive number, at most 1000, got '4'"),
        ({"dropout": 1.0}, "option dropout takes the share"),
        ({"activation": "tanh"}, "option activation is 'gelu', 'reglu' or 'relu', got 'tanh'"),
    ],
    ids=str,
)
def test_an_option_that_makes_no_sense_is_refused(options, message):
    given = {"depth": 1, "heads": 2, "mlp_ratio": 4.0, "dropout": 0.0, "activation": "gelu"}
    with pytest.raises(fk.ConfigError) as caught:
        Transformer(8, **{**given, **options})
    assert message in str(caught.value)
