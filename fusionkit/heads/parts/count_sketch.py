"""``CountSketch``: a random projection whose products can be convolved."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from fusionkit.heads.parts.precision import at_least_float32

__all__ = ["CountSketch"]


@final
class CountSketch(nn.Module):
    """Gives ψ(x), "... width": each x_j with a sign s_j, added up in place h_j (Charikar 2002).

    The sketch of an outer product is the circular convolution of the sketches (Pham and Pagh,
    KDD 2013). Signs and places are drawn by torch's generator and saved; they never learn.

    Args:
        inputs: the width d of x.
        width: of the sketch.
    """

    places: Tensor
    signs: Tensor

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("places", torch.randint(width, (inputs,)))
        self.register_buffer("signs", (2 * torch.randint(2, (inputs,)) - 1).to(torch.int8))

    def forward(self, x: Tensor) -> Tensor:
        """Gives "... width" of "... d", at least in float32."""
        signed = at_least_float32(x) * self.signs
        return signed.new_zeros(*x.shape[:-1], self.width).index_add(-1, self.places, signed)

    def extra_repr(self) -> str:
        """Gives the widths."""
        return f"{len(self.places)}, width={self.width}"
