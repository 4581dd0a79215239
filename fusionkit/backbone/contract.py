"""``Backbone``: what a provider builds and everything above relies on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fusionkit.backbone.depth import Level, Stage
from fusionkit.errors import DataError
from fusionkit.features import Features, Reads
from fusionkit.preprocessing import Preprocessing
from fusionkit.tensors.report import LoadReport

__all__ = ["Backbone"]


class Backbone(nn.Module, ABC):
    """A trunk that turns one input into ``Features`` and says how it is built.

    A complete backbone::

        class Tiny(fusionkit.Backbone):
            def __init__(self, in_channels: int) -> None:
                super().__init__()
                self.in_channels = in_channels
                self.embed_dim = 32
                self.first_layers = ("stem.weight",)
                self.stages = (Stage("stem"), Stage("body", "body.0", "body.1"))
                self.stem = nn.Conv2d(in_channels, 32, 3, stride=2)
                self.body = nn.Sequential(nn.Conv2d(32, 32, 3), nn.Conv2d(32, 32, 3))

            def forward(self, x: Tensor, reads: Reads) -> Features:
                return Features(vector=self.body(self.stem(x)).mean((2, 3)))

    Attributes:
        embed_dim: the width d of ``Features.vector``.
        stages: every parameter of the trunk in exactly one block of exactly one stage, in the
            order in which they run. A block may also name modules without parameters, such as
            a dropout, which are then still when it is frozen. Left unset, it is measured by a
            forward pass.
        levels: width and stride of each map that ``forward`` can give, fine to coarse; empty
            where the trunk has no maps.
        preprocessing: how inputs were prepared for these weights; ``None`` where unknown.
        takes_images: whether its inputs are images or clips. Others, such as tokens of a text,
            are never prepared by the model and reach the backbone as they are.
        encode: of one that takes texts, what turns a text into a mapping of tensors "n", such as
            tokens and an ``attention_mask``, which loaders fill up to "b n"; ``None`` where texts
            are encoded elsewhere. It goes to the workers of a loader, so it is picklable and does
            not hold the backbone; its ``repr`` says all that it depends on, for the cache.
        in_channels: the channels of the input.
        num_classes: the width k of the stock classifier's logits; ``None`` without classifier.
        weights: what pretrained weights were loaded, by their name; ``None`` for random ones.
        license: of these weights, as their provider states it, such as ``"apache-2.0"``; ``None``
            where it states none.
        base_model: the name of these weights on the Hugging Face hub, ``owner/name``.
        load_report: what became of each name of a checkpoint of one's own that was loaded; the
            core sets it.
        fixed_size: the only (height, width) in pixels that the trunk takes; ``None`` for any.
        size_multiple: height and width must be multiples of it.
        first_layers: parameters that read the input's channels along dimension 1, and so can
            be adapted to another channel count.
        dropped_keys: globs over the keys of a stock checkpoint that this trunk leaves out
            (a classifier that was not asked for, auxiliary classifiers).
        no_weight_decay: parameters beyond biases and norms that take no weight decay.
        unread: by output, ``"vector"`` or ``"logits"``, the trunk's parameters that it does not
            depend on, where that is known; what is not said is found out by a forward pass
            without data.
        rebuild: the model's name at this provider, and the options under which its factory, called
            with ``weights=None``, builds this very architecture from nothing outside: where the
            weights decided a part of it, or a file described it. ``None`` where the name and
            options that it was built from do that already. The options must be plain data.
        compiles: whether ``torch.compile`` takes its forward pass as one graph.
        exports: whether ``torch.export`` takes it in eval mode, with a batch of any size.
        trunk_path: the submodule whose parameter names are the stock checkpoint's own;
            empty where that is the backbone itself.
    """

    trunk_path: ClassVar[str] = ""

    embed_dim: int
    stages: tuple[Stage, ...]
    levels: tuple[Level, ...] = ()
    preprocessing: Preprocessing | None = None
    takes_images: bool = True
    encode: Callable[[str], Mapping[str, Tensor]] | None = None
    in_channels: int = 3
    num_classes: int | None = None
    weights: str | None = None
    license: str | None = None
    base_model: str | None = None
    load_report: LoadReport | None = None
    fixed_size: tuple[int, int] | None = None
    size_multiple: int = 1
    first_layers: tuple[str, ...] = ()
    dropped_keys: tuple[str, ...] = ()
    no_weight_decay: frozenset[str] = frozenset()
    unread: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    rebuild: tuple[str, Mapping[str, Any]] | None = None
    compiles: bool = True
    exports: bool = True

    @abstractmethod
    def forward(self, x: Any, reads: Reads) -> Features:
        """Gives what ``reads`` asks for, and computes no more than that.

        Args:
            x: one batch of inputs, for an image network "b c h w".
            reads: with its levels resolved to ascending, non-negative indices.
        """

    def check_input(self, x: Any) -> None:
        """Refuses an input that the trunk cannot take; by default, all but images "b c h w".

        Raises:
            DataError: says what was expected and what came.
        """
        if not isinstance(x, Tensor):
            raise DataError(f"takes a tensor 'b c h w', got {type(x).__name__}")
        if x.ndim != 4:
            raise DataError(f"takes a batch of images 'b c h w', got shape {tuple(x.shape)}")
        if x.shape[1] != self.in_channels == x.shape[3]:
            raise DataError(
                f"takes 'b c h w', got shape {tuple(x.shape)} with the channels last; "
                "write x.permute(0, 3, 1, 2)"
            )
        if x.shape[1] != self.in_channels:
            raise DataError(
                f"takes {self.in_channels} channels, got {x.shape[1]} in shape {tuple(x.shape)}; "
                f"build the branch with in_channels={x.shape[1]}, or give it other images"
            )
        if not x.is_floating_point():
            raise DataError(f"takes floating-point images, got {x.dtype}; scale and normalise them")
        height, width = x.shape[2:]
        if self.fixed_size is not None and (height, width) != self.fixed_size:
            raise DataError(
                f"takes images of exactly {self.fixed_size[0]} x {self.fixed_size[1]} pixels, "
                f"got {height} x {width}"
            )
        if height % self.size_multiple or width % self.size_multiple:
            raise DataError(
                f"takes images whose sides are multiples of {self.size_multiple} pixels, "
                f"got {height} x {width}"
            )

    def example(self, batch: int = 2) -> Any:
        """Gives an input that the trunk takes, the same at each call, on the CPU."""
        height, width = self.fixed_size or (224, 224)
        if self.fixed_size is None and self.preprocessing is not None:
            height, width = self.preprocessing.size
        generator = torch.Generator().manual_seed(0)
        return torch.randn(batch, self.in_channels, height, width, generator=generator)
