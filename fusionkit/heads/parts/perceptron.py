"""The layers between a fused vector and the classes."""

from __future__ import annotations

from torch import nn

from fusionkit.heads.parts.options import check_choice, check_dropout, check_widths

__all__ = ["ACTIVATIONS", "perceptron"]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


def perceptron(
    width: int,
    num_classes: int,
    *,
    hidden: object,
    activation: object,
    dropout: object,
    norms: bool = False,
) -> nn.Sequential:
    """Gives layers from "b d" to "b k": one linear layer, or more with hidden ones between.

    Args:
        width: the input's width d.
        num_classes: the output's width k.
        hidden: ``None``, or the width of one hidden layer, or of each.
        activation: the name of what follows each hidden layer.
        dropout: the share dropped of the input of the last layer and of each hidden layer's
            output.
        norms: whether a layer norm with gain and offset precedes each hidden layer.
    """
    share = check_dropout(dropout)
    make_activation = ACTIVATIONS[check_choice("activation", activation, tuple(ACTIVATIONS))]
    layers: list[nn.Module] = []
    for hidden_width in check_widths("hidden", hidden):
        if norms:
            layers.append(nn.LayerNorm(width))
        layers += [nn.Linear(width, hidden_width), make_activation()]
        if share:
            layers.append(nn.Dropout(share))
        width = hidden_width
    if share and not layers:
        layers.append(nn.Dropout(share))
    return nn.Sequential(*layers, nn.Linear(width, num_classes))
