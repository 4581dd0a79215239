"""The layers between a fused vector and the classes."""

from __future__ import annotations

import torch

from fusionkit.heads.parts.perceptron import perceptron


def test_dropout_follows_each_hidden_layer_and_stops_in_eval():
    layers = perceptron(6, 2, hidden=[5, 4], activation="relu", dropout=0.5)
    kinds = [type(layer).__name__ for layer in layers]
    assert kinds == ["Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    x = torch.randn(8, 6)
    assert torch.equal(layers.eval()(x), layers(x))
    assert not torch.equal(layers.train()(x), layers(x))


def test_without_hidden_layers_dropout_falls_on_the_input():
    layers = perceptron(6, 2, hidden=None, activation="relu", dropout=0.5)
    assert [type(layer).__name__ for layer in layers] == ["Dropout", "Linear"]


def test_norms_precede_hidden_layers_only():
    layers = perceptron(6, 2, hidden=[5, 4], activation="gelu", dropout=0, norms=True)
    kinds = [type(layer).__name__ for layer in layers]
    assert kinds == ["LayerNorm", "Linear", "GELU", "LayerNorm", "Linear", "GELU", "Linear"]
    assert [layers[0].normalized_shape, layers[3].normalized_shape] == [(6,), (5,)]
