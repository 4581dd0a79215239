"""``ImageBackbone``: a vision model of transformers as a backbone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from einops import rearrange
from torch import Tensor, nn

from fusionkit import AssemblyError, Backbone, Features, Level, Reads
from fusionkit_transformers.caches import forget, forget_after_load
from fusionkit_transformers.grid import Grid
from fusionkit_transformers.steady import steady_attention
from fusionkit_transformers.taps import Taps

__all__ = ["ImageBackbone", "image_inputs", "pool_output"]


class ImageBackbone(Backbone):
    """A vision model of transformers, with its own parameter names, that yields ``Features``.

    Attributes:
        trunk: transformers' model as it is.
    """

    trunk_path: ClassVar[str] = "trunk"

    def __init__(
        self,
        trunk: nn.Module,
        *,
        embed_dim: int,
        pooling: str,
        prefix: int,
        taps: tuple[str, ...],
        grids: tuple[Grid, ...],
        arguments: Mapping[str, Any],
        size: tuple[int, int],
    ) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.levels = tuple(Level(grid.channels, grid.stride) for grid in grids)
        self._pooling = pooling
        self._prefix = prefix
        self._grids = grids
        self._arguments = dict(arguments)
        self._size = size
        self.trunk = trunk
        steady_attention(trunk)
        self._taps = Taps(trunk, taps)
        trunk.register_load_state_dict_post_hook(forget_after_load)

    def forward(self, x: Tensor, reads: Reads) -> Features:
        """Gives what ``reads`` asks for from images "b c h w", in one pass through the trunk."""
        if reads.logits and self.num_classes is None:
            raise AssemblyError("the stock classifier was dropped, so there are no logits to read")
        levels = reads.levels
        self._taps.open(levels)
        try:
            output = self.trunk(**image_inputs(self.trunk, x), **self._arguments)
        finally:
            taken = self._taps.close()
        height, width = x.shape[-2:]
        if self._pooling == "maps":
            maps = tuple(output.feature_maps[level] for level in levels)
        else:
            maps = tuple(self._grids[level].turn(taken[level], (height, width)) for level in levels)
        vector, logits = None, None
        if reads.vector or reads.logits:
            vector = pool_output(output, self._pooling, self._prefix)
        if vector is not None and self.num_classes is not None:
            logits = vector[:, self.embed_dim :] if reads.logits else None
            vector = vector[:, : self.embed_dim]
        return Features(vector if reads.vector else None, maps, logits)

    def example(self, batch: int = 2) -> Tensor:
        """Gives images of the size that the model is meant for, the same at each call."""
        if self.fixed_size is not None or self.preprocessing is not None:
            images: Tensor = super().example(batch)
            return images
        generator = torch.Generator().manual_seed(0)
        return torch.randn(batch, self.in_channels, *self._size, generator=generator)

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out what the trunk worked out in eval mode, which cannot be copied."""
        forget(self.trunk)
        return self.__dict__.copy()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ImageBackbone:
        forget(self.trunk)
        super()._apply(fn, recurse)
        return self


def pool_output(output: Any, pooling: str, prefix: int) -> Tensor:
    """Gives "b d" of what a model gave.

    Args:
        output: of the model.
        pooling: ``"classifier"`` for what stands where logits stood, ``"pooler"``, ``"cls"``,
            ``"mean"`` over positions, or ``"maps"`` for the mean over the last feature map.
        prefix: how many tokens stand for no position.
    """
    if pooling == "classifier":
        logits: Tensor = output.logits
        return logits.flatten(1)
    if pooling == "pooler":
        pooled: Tensor = output.pooler_output
        return pooled.flatten(1)
    hidden: Tensor = output.feature_maps[-1] if pooling == "maps" else output.last_hidden_state
    if pooling == "cls":
        return hidden[:, 0]
    return hidden.mean((2, 3)) if hidden.ndim == 4 else hidden[:, prefix:].mean(1)


def image_inputs(trunk: nn.Module, x: Tensor) -> dict[str, Tensor | None]:
    """Gives the arguments of a model for images "b c h w".

    A model of images of any shape (NaFlex) takes them as patches in a row.
    """
    config: Any = trunk.config
    if not config.model_type.startswith("siglip2"):
        return {"pixel_values": x}
    patch = getattr(config, "vision_config", config).patch_size
    height, width = x.shape[-2] // patch, x.shape[-1] // patch
    patches = rearrange(x, "b c (h p) (w q) -> b (h w) (p q c)", p=patch, q=patch)
    return {
        "pixel_values": patches,
        "pixel_attention_mask": None,  # all patches; a mask of ones would be looked at each time
        # on the CPU, since the model looks at the numbers
        "spatial_shapes": torch.tensor([[height, width]], device="cpu").repeat(len(x), 1),
    }
