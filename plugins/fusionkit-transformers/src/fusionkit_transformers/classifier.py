"""The stock classifier: dropped, or kept together with what it reads."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusionkit import AssemblyError

__all__ = ["drop_classifier", "find_classifiers", "join_vector"]

BEFORE = frozenset(("dense", "pooler", "pre_classifier"))
"""Layers before the classifier, which may be as wide as its classes are many."""


def find_classifiers(trunk: nn.Module) -> tuple[str, ...]:
    """Gives the paths of the linear layers that give the logits; two where a teacher was heard.

    Raises:
        AssemblyError: there is none.
    """
    width = trunk.config.num_labels  # type: ignore[union-attr]
    inside = f"{trunk.base_model_prefix}."  # type: ignore[union-attr]
    found = []
    for path, module in trunk.named_modules():
        is_after = not path.startswith(inside) and not BEFORE & set(path.split("."))
        if is_after and isinstance(module, nn.Linear) and module.out_features == width:
            found.append(path)
    paths = tuple(found)
    if not paths and width:
        raise AssemblyError(f"{type(trunk).__name__} has no classifier that could be found")
    return paths


def drop_classifier(trunk: nn.Module, paths: tuple[str, ...]) -> None:
    """Leaves the classifier out, so that the model gives what the classifier would read."""
    for path in paths:
        trunk.set_submodule(path, nn.Identity())


def join_vector(trunk: nn.Module, paths: tuple[str, ...]) -> None:
    """Lets the classifier give what it reads beside its logits, under the same names.

    It then gives "b (d k)", which is split again after the pass. A hook that keeps the input
    would need a place to keep it; this needs none, and what averages two classifiers averages
    both parts.
    """
    for path in paths:
        linear = trunk.get_submodule(path)
        assert isinstance(linear, nn.Linear)
        trunk.set_submodule(path, _Joined(linear))


class _Joined(nn.Linear):
    """A linear layer that gives its input before its output, along the last dimension."""

    def __init__(self, linear: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight = linear.weight
        self.register_parameter("bias", linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Gives "... (d k)" from "... d"."""
        return torch.cat((x, super().forward(x)), dim=-1)
