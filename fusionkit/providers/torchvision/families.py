"""How each family of torchvision is built, as data: one entry for each module that defines one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["FAMILIES", "Family", "Layout"]

Layout = Literal["channels first", "channels last", "tokens"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What is alike in all models of one family.

    Attributes:
        chain: the modules whose outputs follow each other, in running order; ``"features.*"``
            is every child of ``features``. Where the resolution drops, a stage begins.
        classifier: the layer that gives the logits.
        stem: the one block of the stage ``stem``; empty where everything before the first drop
            of resolution is the stem.
        apart: every module of the chain is a stage of its own, and its output a level, even
            where the resolution stays.
        opened: where the blocks of a module of the chain are, for other modules than a plain
            sequence of blocks: a glob over the chain's paths, and the path from there.
        tail: norms outside of the chain that close the last block.
        neck: blocks between the trunk and the classifier that are large enough to be frozen
            apart: the stage ``pre_logits``.
        layout: how maps lie in memory.
        relu_last: whether the trunk applies a ReLU to the last output of the chain.
        auxiliary: classifiers on the side, which are left out.
        renormalises: whether the trunk can turn images normalised as torchvision describes it
            into ones of mean and standard deviation 0.5, which the weights were trained on.
        only_size: gives the only (height, width) in pixels that a trunk of the family takes.
        sized: options that the weights decide, each also an attribute of the trunk.
        only_frames: gives the only number of frames that a trunk of the family takes.
        smallest: the least height and width in pixels that it takes, where the weights' own
            description asks for more than that.
        fewest_frames: the least number of frames that a video model takes.
        frames: how many frames a video model was trained on.
        no_weight_decay: globs over parameters that take none where it was trained.
        options: what the builder takes beyond the arguments of the model's class.
    """

    chain: tuple[str, ...]
    classifier: str
    stem: tuple[str, ...] = ()
    apart: bool = False
    opened: tuple[tuple[str, str], ...] = ()
    tail: tuple[str, ...] = ()
    neck: tuple[tuple[str, ...], ...] = ()
    layout: Layout = "channels first"
    relu_last: bool = False
    auxiliary: tuple[str, ...] = ()
    renormalises: bool = False
    only_size: Callable[[Any], tuple[int, int]] | None = None
    sized: tuple[str, ...] = ()
    only_frames: Callable[[Any], int] | None = None
    smallest: int | None = None
    fewest_frames: int = 1
    frames: int | None = None
    no_weight_decay: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


FAMILIES: dict[str, Family] = {
    "alexnet": Family(
        chain=("features.*",),
        neck=(("classifier.1",), ("classifier.4",)),
        classifier="classifier.6",
    ),
    "convnext": Family(
        stem=("features.0",),
        chain=("features.*",),
        tail=("classifier.0",),
        classifier="classifier.2",
        no_weight_decay=("*.layer_scale",),
    ),
    "densenet": Family(
        stem=("features.conv0", "features.norm0"),
        chain=("features.*",),
        opened=(("features.denseblock*", ""),),
        relu_last=True,
        classifier="classifier",
    ),
    "efficientnet": Family(
        stem=("features.0",),
        chain=("features.*",),
        classifier="classifier.1",
        smallest=1,
    ),
    "googlenet": Family(
        stem=("conv1",),
        chain=(
            *("conv1", "maxpool1", "conv2", "conv3", "maxpool2", "inception3a", "inception3b"),
            *("maxpool3", "inception4a", "inception4b", "inception4c", "inception4d"),
            *("inception4e", "maxpool4", "inception5a", "inception5b"),
        ),
        auxiliary=("aux1", "aux2"),
        renormalises=True,
        classifier="fc",
    ),
    "inception": Family(
        chain=(
            *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1", "Conv2d_3b_1x1"),
            *("Conv2d_4a_3x3", "maxpool2", "Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a"),
            *("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e", "Mixed_7a", "Mixed_7b", "Mixed_7c"),
        ),
        auxiliary=("AuxLogits",),
        renormalises=True,
        classifier="fc",
    ),
    "maxvit": Family(
        stem=("stem",),
        chain=("stem", "blocks.*"),
        apart=True,
        opened=(("blocks.*", "layers"),),
        neck=(("classifier.2", "classifier.3"),),
        classifier="classifier.5",
        only_size=lambda trunk: tuple(4 * side for side in trunk.blocks[0].grid_size),
        no_weight_decay=("*.relative_position_bias_table",),
    ),
    "mnasnet": Family(
        stem=("layers.0", "layers.1"),
        chain=("layers.*",),
        classifier="classifier.1",
    ),
    "mobilenetv2": Family(
        stem=("features.0",),
        chain=("features.*",),
        classifier="classifier.1",
    ),
    "mobilenetv3": Family(
        stem=("features.0",),
        chain=("features.*",),
        neck=(("classifier.0",),),
        classifier="classifier.3",
        options=("width_mult", "reduced_tail", "dilated"),
    ),
    "regnet": Family(
        stem=("stem",),
        chain=("stem", "trunk_output.*"),
        apart=True,
        opened=(("trunk_output.*", ""),),
        classifier="fc",
    ),
    "resnet": Family(
        stem=("conv1", "bn1"),
        chain=("relu", "layer1", "layer2", "layer3", "layer4"),
        apart=True,
        classifier="fc",
    ),
    "shufflenetv2": Family(
        stem=("conv1",),
        chain=("conv1", "maxpool", "stage2", "stage3", "stage4", "conv5"),
        classifier="fc",
    ),
    "squeezenet": Family(chain=("features.*",), classifier="classifier.1"),
    "swin_transformer": Family(
        stem=("features.0",),
        chain=("features.*", "norm"),
        layout="channels last",
        classifier="head",
        smallest=4,
        no_weight_decay=("*.relative_position_bias_table", "*.cpb_mlp.*", "*.logit_scale"),
    ),
    "vgg": Family(
        chain=("features.*",),
        neck=(("classifier.0",), ("classifier.3",)),
        classifier="classifier.6",
    ),
    "vision_transformer": Family(
        stem=("conv_proj", "class_token", "encoder.pos_embedding"),
        chain=("encoder.layers.*", "encoder.ln"),
        apart=True,
        neck=(("heads.pre_logits",),),
        layout="tokens",
        classifier="heads.head",
        only_size=lambda trunk: (trunk.image_size, trunk.image_size),
        sized=("image_size",),
        no_weight_decay=("class_token", "encoder.pos_embedding"),
    ),
    "video.mvit": Family(
        stem=("conv_proj", "pos_encoding"),
        chain=("blocks.*", "norm"),
        layout="tokens",
        classifier="head.1",
        only_size=lambda trunk: (
            trunk.pos_encoding.spatial_size[0] * trunk.conv_proj.stride[1],
            trunk.pos_encoding.spatial_size[1] * trunk.conv_proj.stride[2],
        ),
        only_frames=lambda trunk: trunk.pos_encoding.temporal_size * trunk.conv_proj.stride[0],
        frames=16,
        no_weight_decay=("pos_encoding.*", "*.rel_pos_[hwt]"),
    ),
    "video.resnet": Family(
        stem=("stem",),
        chain=("layer1", "layer2", "layer3", "layer4"),
        apart=True,
        classifier="fc",
        frames=16,
    ),
    "video.s3d": Family(
        chain=("features.*",),
        classifier="classifier.1",
        smallest=209,
        fewest_frames=13,
        frames=128,
    ),
    "video.swin_transformer": Family(
        stem=("patch_embed",),
        chain=("features.*", "norm"),
        layout="channels last",
        classifier="head",
        frames=32,
        no_weight_decay=("*.relative_position_bias_table",),
    ),
}
"""By the builder's module, without ``torchvision.models.`` before it."""
