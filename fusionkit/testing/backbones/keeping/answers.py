"""Answers held against each other, and backbones put to use or emptied for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.backbone.contract import Backbone
from fusionkit.features import Features
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import NotApplicableError

__all__ = [
    "difference",
    "empty_out",
    "eval_with_gradients",
    "exercise",
    "held_in",
    "require_steady",
    "tensors_of",
    "ties",
]


def tensors_of(features: Features) -> Iterator[tuple[str, Tensor]]:
    """Gives each tensor of the features with its name."""
    if features.vector is not None:
        yield "vector", features.vector
    for level, value in enumerate(features.maps):
        yield f"maps[{level}]", value
    if features.logits is not None:
        yield "logits", features.logits


def difference(got: Features, wanted: Features, tolerance: float = 0.0) -> str:
    """Says how an answer differs from the one that was to be expected, or gives nothing.

    Args:
        got: the answer.
        wanted: what it should be.
        tolerance: how far it may be off, as a part of the largest value.
    """
    ours, theirs = dict(tensors_of(got)), dict(tensors_of(wanted))
    if ours.keys() != theirs.keys():
        return f"gave {', '.join(ours) or 'nothing'} instead of {', '.join(theirs)}"
    told = []
    for name, value in theirs.items():
        mine = ours[name]
        if mine.shape != value.shape:
            told.append(f"{name} has the shape {tuple(mine.shape)}, not {tuple(value.shape)}")
            continue
        mine, right = mine.double(), value.double()
        scale = float(right.abs().nan_to_num().max()) if right.numel() else 0.0
        if torch.allclose(mine, right, rtol=0, atol=tolerance * scale, equal_nan=True):
            continue
        if bool(mine.isnan().any()):
            told.append(f"{name} is not a number")
            continue
        off = float((mine - right).abs().nan_to_num(nan=torch.inf).max())
        told.append(f"{name} is off by up to {off:.2g}, where values reach {scale:.2g}")
    return "; ".join(told[:2]) + ("; ..." if len(told) > 2 else "")


def exercise(subject: BackboneSubject, backbone: Backbone) -> None:
    """Puts a backbone through a training pass and an eval pass; no parameter changes.

    Afterwards it is in eval mode, with whatever it keeps between passes.
    """
    x = subject.example(seed=1)
    backbone.train()
    with torch.enable_grad():
        features: Features = backbone(x, subject.reads)
        read = [value for _, value in tensors_of(features) if value.requires_grad]
        if read:
            torch.autograd.backward([value.float().square().mean() for value in read])
    backbone.zero_grad(set_to_none=True)
    backbone.eval()
    subject.run(backbone, x)


def eval_with_gradients(subject: BackboneSubject, backbone: Backbone, x: object) -> Features:
    """Gives the answer in eval mode of a pass that autograd follows, as a probe's may be."""
    with torch.enable_grad():
        features: Features = backbone(x, subject.reads)
    values = {name: value.detach().clone() for name, value in tensors_of(features)}
    return Features(
        values.get("vector"),
        tuple(value for name, value in values.items() if name.startswith("maps")),
        values.get("logits"),
    )


def empty_out(module: nn.Module) -> None:
    """Overwrites everything that a state dict holds: numbers with NaN, all else with zeros."""
    saved = set(module.state_dict())
    with torch.no_grad():
        for name, value in (
            *module.named_parameters(remove_duplicate=False),
            *module.named_buffers(remove_duplicate=False),
        ):
            if name in saved and value.layout is torch.strided:
                value.fill_(torch.nan if value.is_floating_point() else 0)


def ties(module: nn.Module) -> frozenset[frozenset[str]]:
    """Gives the groups of names that stand for one and the same tensor."""
    names: dict[int, set[str]] = {}
    for name, value in (
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ):
        names.setdefault(id(value), set()).add(name)
    return frozenset(frozenset(each) for each in names.values() if len(each) > 1)


def held_in(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Gives the tensors and modules inside of lists, tuples and dicts, with where they are."""
    if isinstance(value, (Tensor, nn.Module)):
        yield where, value
    elif isinstance(value, (list, tuple)):
        for index, each in enumerate(value):
            yield from held_in(each, f"{where}[{index}]")
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from held_in(each, f"{where}[{key!r}]")


def require_steady(subject: BackboneSubject) -> None:
    """Leaves a check whose comparison means nothing, since an unused copy answers otherwise too.

    Another check tells of that.
    """
    backbone = subject.copy()
    x = subject.example()
    got = subject.run(backbone, x)
    if difference(got, subject.answer):
        raise NotApplicableError("an unused copy does not give the same answer each time either")
    if difference(subject.run(backbone, x), got):
        raise NotApplicableError("a second pass in eval mode gives another answer")
