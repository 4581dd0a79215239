"""Feature-wise linear modulation: some branches condition the others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from fusionkit import AssemblyError, Card, ConfigError, Features, FusionHead, HeadInput
from fusionkit.heads.parts.maps import BranchMaps
from fusionkit.heads.parts.options import (
    check_flag,
    check_width,
    listed,
    per_branch,
    refuse_unknown_branches,
)
from fusionkit.heads.parts.perceptron import perceptron
from fusionkit.heads.parts.precision import at_least_float32, at_own_precision
from fusionkit.heads.parts.vectors import BranchVectors

__all__ = ["Film"]


@final
class Film(FusionHead):
    """FiLM: one branch scales and shifts the features of the others (arXiv:1709.07871).

    Gives relu(gamma_i ⊙ W_i x_i + beta_i) of each conditioned branch i, side by side, to a
    classifier, with gamma_i - 1 and beta_i linear in the vector of the conditioning branch (in
    those of several, side by side), so that gamma starts around 1. Where maps are conditioned,
    W_i is a 1x1 convolution, each channel has one gamma and one beta, and the mean over all
    places follows the ReLU.

    A conditioning branch that is absent counts as zeros: without all of them, gamma - 1 and beta
    are the biases of their linear layer, what was learned for no condition in particular. A
    conditioned branch that is absent counts as W_i x_i = 0: beta is left.

    Args:
        inputs: what the branches offer, by name; at least two.
        num_classes: the width k of the logits.
        by: the branch that conditions all others, or a list of several; by default the first in
            alphabetical order.
        level: which level of maps is conditioned, -1 the coarsest, or ``None`` for the vector;
            one for all conditioned branches or by branch.
        width: the width that W_i brings each conditioned branch to, maps only where they have
            another; ``None`` leaves x_i.
        rectify: whether the ReLU follows, as in the paper. Without it, maps are modulated as
            their mean over all places would be.
        norm: what each x_i is normalised by: ``"layer"``, ``"none"`` or, for vectors,
            ``"batch"`` or ``"l2"``; one for all or by branch; see ``Concat``.
        hidden: the width of a hidden layer of the classifier, or a list of widths, or ``None``.
        activation: after each hidden layer: ``"relu"``, ``"gelu"``, ``"silu"`` or ``"tanh"``.
        dropout: the share dropped after each hidden layer; without one, of what it reads.

    Raises:
        AssemblyError: there is but one branch, or a branch has not the level of maps.
        ConfigError: an option's value is wrong.
    """

    takes_missing = True

    card = Card(
        formula="MLP([relu(gamma_i ⊙ W_i x_i + beta_i)]), gamma_i - 1 and beta_i linear in x_1",
        papers=("Perez et al., arXiv:1709.07871",),
        reads="vectors",
        when="Where one branch says how to read another: a question about an image, a sensor's "
        "settings. Not where the conditioning branch has most of the evidence itself.",
        each=("norm", "W_i"),
        join="gamma(x_1) ⊙ x_2 + beta(x_1)",
        after=("relu", "MLP (hidden)"),
        branches="two or more",
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        by: str | Sequence[str] | None = None,
        level: int | Mapping[str, int | None] | None = None,
        width: int | None = 256,
        rectify: bool = True,
        norm: str | Mapping[str, str] = "layer",
        hidden: int | Sequence[int] | None = None,
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        names = tuple(sorted(inputs))
        self.by = _check_by(by, names)
        self.conditioned = tuple(name for name in names if name not in self.by)
        self.rectify = check_flag("rectify", rectify)
        project = None if width is None else check_width("width", width)
        norms = per_branch("norm", norm, names, missing="layer")
        levels = _read_levels(level, names, self.by)
        seen = [name for name in self.conditioned if levels[name] is not None]
        flat = [name for name in self.conditioned if levels[name] is None]
        self.conditions = BranchVectors(_some(inputs, self.by), norm=_some(norms, self.by))
        self.vectors = BranchVectors(_some(inputs, flat), norm=_some(norms, flat), project=project)
        self.maps = BranchMaps(
            _some(inputs, seen),
            level=_some(levels, seen),
            norm=_some(norms, seen),
            width=project,
            same_size=False,
        )
        self.reads = {**dict.fromkeys((*self.by, *flat), "vector"), **self.maps.reads}
        widths = dict(zip((*flat, *seen), self.vectors.widths + self.maps.widths, strict=True))
        self.widths = tuple(widths[name] for name in self.conditioned)
        self.generators = nn.ModuleDict(
            {
                name: nn.Linear(sum(self.conditions.widths), 2 * widths[name])
                for name in self.conditioned
            }
        )
        self.classifier = perceptron(
            sum(self.widths), num_classes, hidden=hidden, activation=activation, dropout=dropout
        )

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives logits "b k"."""
        conditions = self.conditions(features)
        x = {**self.vectors(features), **self.maps(features)}
        like = next(iter((conditions or x).values()))

        def zeros(width: int) -> Tensor:
            empty: Tensor = like.new_zeros(like.shape[0], width)
            return empty

        by = zip(self.conditions.names, self.conditions.widths, strict=True)
        condition = torch.cat(
            [conditions[name] if name in conditions else zeros(width) for name, width in by], dim=-1
        )
        parts = [
            self.modulate(name, x[name] if name in x else zeros(width), condition)
            for name, width in zip(self.conditioned, self.widths, strict=True)
        ]
        return at_own_precision(self.classifier, torch.cat(parts, dim=-1))

    def modulate(self, name: str, x: Tensor, condition: Tensor) -> Tensor:
        """Gives "b c" of one branch's "b c" or "b c h w", in float32 or wider."""
        x = at_least_float32(x)
        shape = (-1, x.shape[1], *(1 for _ in x.shape[2:]))
        delta, beta = self.generators[name](condition).chunk(2, dim=-1)
        x = (1 + delta.reshape(shape)) * x + beta.reshape(shape)
        x = x.relu() if self.rectify else x
        return x.flatten(2).mean(-1) if x.ndim > 2 else x

    def extra_repr(self) -> str:
        """Says which branches condition which."""
        return f"{listed(self.by)} condition{'' if self.by[1:] else 's'} {listed(self.conditioned)}"


def _some(values: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: values[name] for name in names}


def _check_by(by: object, names: tuple[str, ...]) -> tuple[str, ...]:
    if len(names) < 2:
        raise AssemblyError(
            f"film takes two branches or more, one of which conditions the others, and "
            f"{names[0]!r} is alone; take 'concat'"
        )
    given = [names[0]] if by is None else [by] if isinstance(by, str) else by
    if not isinstance(given, (list, tuple)) or not given:
        raise ConfigError(f"option by takes a branch or a list of branches, got {by!r}")
    refuse_unknown_branches("by", given, names)
    chosen = tuple(name for name in names if name in given)
    if len(chosen) == len(names):
        raise ConfigError(
            f"option by names all branches, {listed(names)}, and leaves none to be conditioned; "
            "leave one out"
        )
    return chosen


def _read_levels(level: Any, names: tuple[str, ...], by: tuple[str, ...]) -> dict[str, int | None]:
    for name in by:
        if isinstance(level, Mapping) and name in level:
            raise ConfigError(
                f"option level: branch {name!r} conditions the others by its vector and has no "
                "level; leave it out"
            )
    return per_branch("level", level, names, missing=None)
