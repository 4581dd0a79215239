"""``TimmBackbone``: a timm model as a backbone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from fusionkit import AssemblyError, Backbone, Features, Preprocessing, Reads
from fusionkit.providers.timm.description import Description
from fusionkit.providers.timm.trace import pool_positions

__all__ = ["TimmBackbone"]


class TimmBackbone(Backbone):
    """A timm model, with its own parameter names, that yields ``Features``.

    Attributes:
        trunk: timm's model as it is; a stock checkpoint loads into it, less ``dropped_keys``.
    """

    trunk_path: ClassVar[str] = "trunk"

    def __init__(
        self,
        trunk: nn.Module,
        description: Description,
        *,
        in_channels: int,
        num_classes: int | None,
        weights: str | None,
        rebuild: tuple[str, Mapping[str, Any]] | None,
        preprocessing: Preprocessing | None,
    ) -> None:
        super().__init__()
        self.embed_dim = description.embed_dim
        self.stages = description.stages
        self.levels = description.levels
        self.preprocessing = preprocessing
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.weights = weights
        self.rebuild = rebuild
        self.fixed_size = description.fixed_size
        self.size_multiple = description.size_multiple
        self.first_layers = description.first_layers
        self.dropped_keys = description.dropped_keys
        self.no_weight_decay = description.no_weight_decay
        self.unread = dict(description.unread)
        self._level_indices = description.level_indices
        self._pools = description.pools
        self.trunk = trunk
        # some models keep tensors computed from their parameters between eval passes
        trunk.register_load_state_dict_post_hook(_forget_after_load)  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor, reads: Reads) -> Features:
        """Gives what ``reads`` asks for from images "b c h w", in one pass through the trunk.

        Only encoders without a pooling head take a second pass, where vector and maps are read.
        """
        trunk: Any = self.trunk
        if reads.logits and self.num_classes is None:
            raise AssemblyError("the stock classifier was dropped, so there are no logits to read")
        levels = range(len(self.levels)) if reads.maps == "all" else reads.maps
        indices = [self._level_indices[level] for level in levels]
        maps: tuple[Tensor, ...] = ()
        if not (reads.vector or reads.logits):
            if not indices:
                return Features()
            taken = trunk.forward_intermediates(
                x, indices=indices, output_fmt="NCHW", intermediates_only=True, stop_early=True
            )
            return Features(maps=_in_order(taken, indices))
        if not indices:
            if not reads.vector:
                return Features(logits=trunk(x))
            final = trunk.forward_features(x) if self._pools else None
        else:
            final, taken = trunk.forward_intermediates(x, indices=indices, output_fmt="NCHW")
            maps = _in_order(taken, indices)
        if not self._pools:  # an encoder, whose own output goes beyond its features
            return Features(pool_positions(trunk(x)), maps)
        vector = trunk.forward_head(final, pre_logits=True) if reads.vector else None
        logits = trunk.forward_head(final) if reads.logits else None
        return Features(vector, maps, logits)

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out what the trunk computed in eval mode, which can be neither copied nor kept."""
        _forget(self.trunk)
        return self.__dict__.copy()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> TimmBackbone:
        _forget(self.trunk)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self


def _in_order(maps: list[Tensor], indices: list[int]) -> tuple[Tensor, ...]:
    """Gives maps as ``indices`` asks for them; timm gives them by ascending index."""
    by_index = dict(zip(sorted(indices), maps, strict=True))
    return tuple(by_index[index] for index in indices)


def _forget_after_load(module: nn.Module, _: Any) -> None:
    _forget(module)


def _forget(trunk: nn.Module) -> None:
    """Empties the caches that timm's modules keep beside their parameters and buffers."""
    for module in trunk.modules():
        for name, value in vars(module).items():
            if (
                isinstance(value, dict)
                and value
                and not name.startswith("_")
                and any(isinstance(entry, Tensor) for entry in value.values())
            ):
                value.clear()
