"""A backbone as a module of tensors only, as compilers and exporters want it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from fusionkit.backbone.contract import Backbone
from fusionkit.features import Features, Reads

__all__ = ["Asked", "features_of", "quietly"]


class Asked(nn.Module):
    """A backbone that is asked the same each time, and gives a list of tensors."""

    def __init__(self, backbone: Backbone, reads: Reads) -> None:
        super().__init__()
        self.backbone = backbone
        self.reads = reads
        self.eval()

    def forward(self, x: Any) -> list[Tensor]:
        """Gives the vector, then the maps."""
        features = self.backbone(x, self.reads)
        return [features.vector, *features.maps]


def features_of(outputs: list[Tensor]) -> Features:
    """Gives what ``Asked`` gave as features again."""
    return Features(outputs[0].detach(), tuple(value.detach() for value in outputs[1:]))


@contextmanager
def quietly() -> Iterator[None]:
    """Keeps torch's compilers from talking; what matters of it is an error or another answer."""
    loud = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(loud)
