"""Takes the running statistics of batch norms anew, for parameters that no training has left."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from fusionkit.errors import ConfigError
from fusionkit.model.fused import FusedModel
from fusionkit.surgery.subject import check_model

__all__ = ["update_norms"]


def update_norms(model: FusedModel, batches: Iterable[Any]) -> FusedModel:
    """Sets the statistics of batch norms to those of some batches, in place.

    For averaged parameters, as ``torch.optim.swa_utils.update_bn`` does it (arXiv:1803.05407).
    That one would empty the statistics of frozen norms, which are not taken anew; here they
    stay bit for bit. The mode stays as it was.

    Args:
        model: as ``average`` gave it.
        batches: each what ``forward`` takes; without labels.

    Raises:
        ConfigError: there is no batch.
    """
    check_model("update_norms", model)
    was = model.training
    model.train()
    norms = [
        each
        for each in model.modules()
        if isinstance(each, nn.modules.batchnorm._BatchNorm)
        and each.training
        and each.track_running_stats
    ]
    momenta = [each.momentum for each in norms]
    before = [{name: value.clone() for name, value in each.named_buffers()} for each in norms]
    done = False
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean of all batches
        with torch.no_grad():
            for batch in batches:
                model(batch)
                done = True
        if not done and norms:
            raise ConfigError("update_norms was given no batch; a used iterator has none")
    except BaseException:
        for norm, values in zip(norms, before, strict=True):
            for name, value in values.items():
                norm.get_buffer(name).copy_(value)
        raise
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.train(was)
    return model
