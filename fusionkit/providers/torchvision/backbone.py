"""``TorchvisionBackbone``: one of torchvision's models behind the contract of a backbone."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fusionkit import AssemblyError, Backbone, DataError, Features, Preprocessing, Reads
from fusionkit.providers.torchvision.anatomy import cut_levels, cut_stages
from fusionkit.providers.torchvision.families import Family
from fusionkit.providers.torchvision.taps import ClassifierTap, run_tapped
from fusionkit.providers.torchvision.trace import trace_chain

__all__ = ["TorchvisionBackbone", "TorchvisionVideoBackbone"]


class TorchvisionBackbone(Backbone):
    """A classification model of torchvision, run by its own forward pass.

    What it gives is taken out by hooks while the trunk runs, so it is what torchvision computes.
    The vector is the input of the last layer, the classifier; where the classifier is dropped,
    the trunk itself gives the vector. The trunk's parameters keep torchvision's names.

    Attributes:
        trunk: torchvision's model; a classifier that was dropped is an identity.
        least_size: the least height and width that it takes, in pixels.
    """

    trunk_path: ClassVar[str] = "trunk"

    def __init__(
        self,
        trunk: nn.Module,
        family: Family,
        *,
        embed_dim: int,
        in_channels: int,
        first_layer: str,
        preprocessing: Preprocessing,
        num_classes: int | None = None,
        weights: str | None = None,
        rebuild: tuple[str, Mapping[str, Any]] | None = None,
        fixed_size: tuple[int, int] | None = None,
        least_size: int = 1,
    ) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.in_channels = in_channels
        self.first_layers = (f"{first_layer}.weight",)
        self.preprocessing = preprocessing
        self.num_classes = num_classes
        self.weights = weights
        self.rebuild = rebuild
        self.fixed_size = fixed_size
        self.least_size = least_size
        dropped = family.auxiliary if num_classes else (*family.auxiliary, family.classifier)
        self.dropped_keys = tuple(f"{path}.*" for path in dropped)
        self.no_weight_decay = frozenset(
            name
            for name, _ in trunk.named_parameters()
            if any(fnmatchcase(name, pattern) for pattern in family.no_weight_decay)
        )
        outputs = trace_chain(trunk, family, self._example_shape(1))
        self.stages = cut_stages(trunk, family, outputs)
        self.levels, taps = cut_levels(trunk, family, outputs)
        for path, tap in taps.items():
            trunk.get_submodule(path).register_forward_hook(tap)
        trunk.get_submodule(family.classifier).register_forward_pre_hook(ClassifierTap())
        self.trunk = trunk

    def forward(self, x: Tensor, reads: Reads) -> Features:
        """Gives what ``reads`` asks for; what lies behind the last of it does not run.

        Args:
            x: images "b c h w", or for a video model clips "b c t h w", whose maps are averaged
                over time to "b c h w".
            reads: with its levels resolved.

        Raises:
            AssemblyError: logits are read, but the classifier was dropped.
        """
        if reads.logits and self.num_classes is None:
            raise AssemblyError(
                "has no logits: its classifier was dropped; build it with num_classes= the number "
                "of classes that its weights have"
            )
        return run_tapped(self.trunk, x, reads)

    def check_input(self, x: Any) -> None:
        """Refuses all but images "b c h w" that the trunk can take.

        Raises:
            DataError: says what was expected and what came.
        """
        super().check_input(x)
        height, width = x.shape[-2:]
        if min(height, width) < self.least_size:
            raise DataError(
                f"takes images of at least {self.least_size} x {self.least_size} pixels, "
                f"got {height} x {width}"
            )

    def example(self, batch: int = 2) -> Tensor:
        """Gives an input that the trunk takes, the same at each call, on the CPU."""
        generator = torch.Generator().manual_seed(0)
        return torch.randn(self._example_shape(batch), generator=generator)

    def _example_shape(self, batch: int) -> tuple[int, ...]:
        assert self.preprocessing is not None
        return (batch, self.in_channels, *(self.fixed_size or self.preprocessing.size))


class TorchvisionVideoBackbone(TorchvisionBackbone):
    """A video model of torchvision: clips "b c t h w" in, maps averaged over time out.

    Attributes:
        fixed_frames: the only number of frames that it takes; ``None`` for any.
        least_frames: the least number of frames that it takes.
    """

    def __init__(
        self, trunk: nn.Module, family: Family, *, fixed_frames: int | None = None, **rest: Any
    ) -> None:
        self.fixed_frames = fixed_frames
        self.least_frames = family.fewest_frames
        super().__init__(trunk, family, **rest)

    def check_input(self, x: Any) -> None:
        """Refuses all but clips "b c t h w" that the trunk can take.

        Raises:
            DataError: says what was expected and what came.
        """
        if not isinstance(x, Tensor):
            raise DataError(f"takes a tensor 'b c t h w', got {type(x).__name__}")
        if x.ndim != 5:
            raise DataError(f"takes a batch of clips 'b c t h w', got shape {tuple(x.shape)}")
        frames = x.shape[2]
        if self.fixed_frames is not None and frames != self.fixed_frames:
            raise DataError(f"takes clips of exactly {self.fixed_frames} frames, got {frames}")
        if frames < self.least_frames:
            raise DataError(f"takes clips of at least {self.least_frames} frames, got {frames}")
        super().check_input(x[:, :, 0])

    def _example_shape(self, batch: int) -> tuple[int, ...]:
        images = super()._example_shape(batch)
        return (*images[:2], self.fixed_frames or 16, *images[2:])
