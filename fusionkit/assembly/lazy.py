"""Gives layers that wait for their first input their shapes."""

from __future__ import annotations

import torch
from torch.nn.parameter import is_lazy

from fusionkit.backbone.contract import Backbone
from fusionkit.features import Reads

__all__ = ["shape_lazy_layers"]


def shape_lazy_layers(backbone: Backbone) -> None:
    """Runs the backbone once on its example if it has lazy layers, such as ``nn.LazyLinear``.

    Without shapes there would be nothing to count, to load into, or to give an optimizer.
    """
    if not any(is_lazy(tensor) for tensor in (*backbone.parameters(), *backbone.buffers())):
        return
    reads = Reads(
        vector=True,
        maps="all" if backbone.levels else (),
        logits=backbone.num_classes is not None,
    )
    was_training = backbone.training
    backbone.eval()
    with torch.no_grad():
        backbone(backbone.example(1), reads.resolve(len(backbone.levels)))
    backbone.train(was_training)
