"""Compact bilinear pooling: outer products, sketched without ever being made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fusionkit import Card, Features, FusionHead, HeadInput
from fusionkit.heads.parts.count_sketch import CountSketch
from fusionkit.heads.parts.options import check_dropout, check_width
from fusionkit.heads.parts.places import BranchPlaces
from fusionkit.heads.parts.power_norm import power_normalise
from fusionkit.heads.parts.precision import at_own_precision

__all__ = ["CompactBilinear"]

ROUNDING = 64
"""What a Fourier transform leaves of an exact zero, in units of the last place of the largest."""


@final
class CompactBilinear(FusionHead):
    """Multimodal compact bilinear pooling by count sketch and FFT, MCB (arXiv:1606.01847).

    The count sketch of the outer product of all branches, which is the circular convolution of
    their sketches, then signed square root and length 1. Each component of an outer product
    lands in one of ``width`` with a random sign; the signs and places are drawn when the head is
    built and never learn. Of maps, the products are summed over the places, which must match
    (Gao et al.). An absent branch is left out of the convolution.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the logits.
        width: of the sketch; 16000 in the paper. Powers of two are transformed fastest.
        reads: ``"vector"`` or ``"maps"``.
        level: which level of maps is read, -1 (the default) the coarsest; one for all or by
            branch. All get the size of the finest.
        norm: what each vector or map passes first: ``"layer"``, ``"none"``, and of vectors also
            ``"batch"`` or ``"l2"``; one for all or by branch.
        dropout: the share dropped of the normalised sketch.

    Raises:
        AssemblyError: a branch has no maps of the chosen level.
        ConfigError: an option's value is wrong.
    """

    takes_missing = True

    card = Card(
        formula="W s / |s| + b, s = ssqrt(FFT⁻¹(Π_i FFT(ψ_i(x_i))))",
        papers=("Fukui et al., arXiv:1606.01847", "Gao et al., arXiv:1511.06062"),
        reads="vectors",
        when="Where bilinear is wanted and d_1 d_2 weights for each class are too many; and of "
        "three branches or more, products of all. The sketch must be wide (thousands) before "
        "different products rarely share a place.",
        each=("norm", "count sketch ψ_i"),
        join="convolution (FFT)",
        after=("signed square root, length 1", "linear"),
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        width: int = 8192,
        reads: str = "vector",
        level: int | Mapping[str, int] | None = None,
        norm: str | Mapping[str, str] = "layer",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.places = BranchPlaces(inputs, reads=reads, level=level, norm=norm)
        self.reads = self.places.reads
        self.width = check_width("width", width)
        self.sketches = nn.ModuleDict(
            {
                name: CountSketch(each, self.width)
                for name, each in zip(self.places.names, self.places.widths, strict=True)
            }
        )
        self.dropout = nn.Dropout(check_dropout(dropout))
        self.classifier = nn.Linear(self.width, num_classes)

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives logits "b k"."""
        sketches = [self.sketches[name](x) for name, x in self.places(features).items()]
        vector = power_normalise(_drop_rounding(self._convolve(sketches)))
        return at_own_precision(self.classifier, self.dropout(vector))

    def _convolve(self, sketches: Sequence[Tensor]) -> Tensor:
        """Gives the circular convolution "b width" of sketches "b p width", summed over p.

        Transforms are of a power of two, at which ONNX Runtime's is exact (at 16000, 0.4 % of
        the scores were rounding): any other width is convolved in full, and wrapped afterwards.
        """
        whole = len(sketches) * (self.width - 1)
        power_of_two = self.width & (self.width - 1) == 0
        length = self.width if power_of_two else 1 << whole.bit_length()
        spectra = [torch.fft.rfft(sketch, n=length) for sketch in sketches]
        convolved = torch.fft.irfft(reduce(torch.mul, spectra).sum(1), n=length)
        wrapped = F.pad(convolved, (0, -length % self.width))
        return wrapped.reshape(-1, wrapped.shape[1] // self.width, self.width).sum(1)


def _drop_rounding(sketch: Tensor) -> Tensor:
    """Gives zero where only rounding is left, which the square root would make a thousandfold."""
    least = ROUNDING * torch.finfo(sketch.dtype).eps * sketch.abs().amax(-1, keepdim=True)
    return sketch.masked_fill(sketch.abs() <= least, 0.0)  # and NaN where there is NaN
