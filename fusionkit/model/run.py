"""Runs one branch, and says of which branch it was when that goes wrong."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.backbone.contract import Backbone
from fusionkit.errors import AssemblyError, DataError, PolicyError
from fusionkit.features import Features, Reads

__all__ = ["check_features", "check_frozen", "check_still", "run_branch"]

CRASHES = (AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def check_still(branch: str, still: tuple[nn.Module, ...]) -> None:
    """Refuses a frozen part that somebody put into train mode, in which it would drift.

    Raises:
        PolicyError: names the branch and the module's type.
    """
    for module in still:
        if module.training:
            raise PolicyError(
                f"branch {branch!r}: a frozen {type(module).__name__} was put into train mode "
                "by hand, so it would drift; call model.train() or model.eval(), which keep "
                "frozen parts still"
            )


def check_frozen(branch: str, frozen: tuple[nn.Parameter, ...]) -> None:
    """Refuses a frozen parameter that somebody gave a gradient, with which it would move.

    Raises:
        PolicyError: names the branch.
    """
    for parameter in frozen:
        if parameter.requires_grad:
            raise PolicyError(
                f"branch {branch!r}: requires_grad of a frozen parameter was set by hand, so it "
                "would move; what learns is said by Branch(freeze=...), and "
                "model.set_epoch(model.epoch) puts back what it says"
            )


def run_branch(
    branch: str,
    backbone: Backbone,
    x: Any,
    reads: Reads,
    *,
    title: str,
    prepare: nn.Module | None,
    channels: tuple[int, ...],
) -> Features:
    """Gives what a branch computes of its input.

    Args:
        branch: its name.
        backbone: runs.
        x: its input.
        reads: what is asked for.
        title: what it is, for errors: the backbone's name.
        prepare: what turns raw images into its input, where the model does that.
        channels: the widths of the maps asked for.

    Raises:
        DataError: the branch cannot take the input.
        AssemblyError: the backbone gives other features than it declares.
    """
    try:
        if prepare is not None:
            x = prepare(x)
        backbone.check_input(x)
        features: Features = backbone(x, reads)
    except DataError as error:
        raise DataError(f"branch {branch!r} ({title}) {error}") from error
    except torch.OutOfMemoryError:
        raise
    except CRASHES as error:
        shape = f" of shape {tuple(x.shape)}" if isinstance(x, Tensor) else ""
        raise DataError(
            f"branch {branch!r} ({title}) failed on an input{shape}: "
            f"{type(error).__name__}: {error}"
        ) from error
    check_features(f"branch {branch!r} ({title})", backbone, features, reads, channels)
    return features


def check_features(
    owner: str, backbone: Backbone, features: Features, reads: Reads, channels: tuple[int, ...]
) -> None:
    """Refuses features that are not what the backbone declared.

    Args:
        owner: who gave them, for errors.
        backbone: what it declares.
        features: what its forward pass gave.
        reads: what was asked for.
        channels: the declared widths of the maps asked for.

    Raises:
        AssemblyError: says what was declared and what came.
    """
    given: object = features
    if not isinstance(given, Features):
        raise AssemblyError(
            f"{owner} gave {type(given).__name__}; its forward must give fusionkit.Features"
        )
    if reads.vector and _width(features.vector) != backbone.embed_dim:
        raise AssemblyError(
            f"{owner} declares a vector 'b {backbone.embed_dim}', gave {_shown(features.vector)}"
        )
    if channels:
        maps = features.maps
        widths = tuple(value.shape[1] for value in maps if value.ndim == 4)
        if widths != channels or len(maps) != len(channels):
            raise AssemblyError(
                f"{owner} declares maps 'b c h w' of {channels} channels, gave "
                f"{[tuple(value.shape) for value in maps]}"
            )
    if reads.logits and _width(features.logits) != backbone.num_classes:
        raise AssemblyError(
            f"{owner} declares logits 'b {backbone.num_classes}', gave {_shown(features.logits)}"
        )


def _width(value: Any) -> int | None:
    return value.shape[1] if isinstance(value, Tensor) and value.ndim == 2 else None


def _shown(value: Any) -> object:
    return tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
