"""Levels of all branches, joined step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from fusionkit import Card, ConfigError, Features, FusionHead, HeadInput
from fusionkit.heads.parts.levels import EachLevel, find_level, find_places, read_levels
from fusionkit.heads.parts.norms import vector_norm
from fusionkit.heads.parts.options import (
    check_choice,
    check_dropout,
    check_width,
    listed,
    per_branch,
    refuse_unknown_branches,
)
from fusionkit.heads.parts.perceptron import ACTIVATIONS

__all__ = ["MultiLevelFusion"]

STEP_ACTIVATIONS: dict[str, type[nn.Module]] = {
    **ACTIVATIONS,
    "leaky_relu": nn.LeakyReLU,
    "sigmoid": nn.Sigmoid,
}


@final
class MultiLevelFusion(FusionHead):
    """Levels of all branches joined step by step, MFAS (arXiv:1903.06496).

    Each step gives h_l = a(W_l [x_1; ...; x_N; h_(l-1)] + b_l), where x_i is the map of one level
    of branch i, pooled to the means of its channels and normalised; the last h gives logits.
    Which levels meet at which step is what the paper searches for; here it is an option. Sizes
    of maps do not matter. A branch whose input is absent counts as zeros, the mean of what a
    norm gives.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the logits.
        steps: at most how many steps: each branch's levels are divided into as many parts, from
            fine to coarse, and of each part the coarsest is joined; a branch with fewer levels
            joins some of them again, as in the paper. Or a list with the levels of each step by
            branch, ``[{"a": 0, "b": 1}, {"a": -1, "b": -1}]``; a branch may be left out of some.
        width: the width of each h.
        activation: the function a: ``"relu"``, ``"sigmoid"``, ``"leaky_relu"``, between which
            the paper chooses, ``"gelu"``, ``"silu"`` or ``"tanh"``; one for all steps, or a list
            with one for each.
        norm: of the pooled vectors: ``"layer"`` gives each mean 0 and variance 1; ``"batch"``
            each component, and needs batches of two or more in training; ``"l2"`` gives each
            length 1; ``"none"`` leaves it. One for all or by branch.
        dropout: the share dropped of each h.

    Raises:
        AssemblyError: a branch has no maps, or not a chosen level.
        ConfigError: an option's value is wrong.
    """

    takes_missing = True

    card = Card(
        formula="W h_L, h_l = a(W_l [mean(x_1^l); ...; mean(x_N^l); h_(l-1)] + b_l)",
        papers=("Perez-Rua et al., arXiv:1903.06496", "Vielzeuf et al., arXiv:1808.07275"),
        reads="maps",
        when="Where early layers know what the last ones have forgotten, as colours and textures; "
        "cheap, since maps are pooled before they meet. Where places must be compared, take "
        "two_stream_maps or pyramid_fusion.",
        each=("pool each level", "norm"),
        join="[x_1; ...; x_N; h_(l-1)], W_l, activation: step by step",
        after=("linear",),
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        steps: int | Sequence[Mapping[str, int]] = 4,
        width: int = 128,
        activation: str | Sequence[str] = "relu",
        norm: str | Mapping[str, str] = "layer",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        names = sorted(inputs)
        norms = per_branch("norm", norm, names, missing="layer")
        self.levels = _read_steps(steps, {name: inputs[name] for name in names})
        reads = read_levels({n: [each[n] for each in self.levels if n in each] for n in names})
        self.reads = reads
        self.steps = [find_places(reads, each) for each in self.levels]
        self.channels = {
            name: [inputs[name].levels[level].channels for level in reads[name].levels]
            for name in names
        }
        self.norms = nn.ModuleDict(
            {
                name: EachLevel(vector_norm(norms[name], each, name) for each in channels)
                for name, channels in self.channels.items()
            }
        )
        self.dropout = nn.Dropout(check_dropout(dropout))
        self.activations = nn.ModuleList(_read_activations(activation, len(self.steps)))
        self.layers = nn.ModuleList()
        for step in self.steps:
            joined = sum(self.channels[name][place] for name, place in step.items())
            before = width if len(self.layers) else 0
            self.layers.append(nn.Linear(joined + before, check_width("width", width)))
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives logits "b k"."""
        vectors = {
            name: each([x.mean((-2, -1)) for x in features[name].maps])
            for name, each in self.norms.items()
            if name in features
        }
        like = next(iter(vectors.values()))[0]
        hidden: list[Tensor] = []
        for step, layer, activation in zip(self.steps, self.layers, self.activations, strict=True):
            joined = [
                vectors[name][place]
                if name in vectors
                else like.new_zeros(like.shape[0], self.channels[name][place])
                for name, place in step.items()
            ]
            hidden = [self.dropout(activation(layer(torch.cat([*joined, *hidden], dim=1))))]
        logits: Tensor = self.classifier(hidden[0])
        return logits

    def extra_repr(self) -> str:
        """Says which levels are joined at each step."""
        return "\n".join(
            f"step {number}: " + ", ".join(f"{name} at level {i}" for name, i in step.items())
            for number, step in enumerate(self.levels)
        )


def _read_steps(steps: Any, inputs: Mapping[str, HeadInput]) -> list[dict[str, int]]:
    """Gives the level of each branch that is joined, counted from the finest, for each step."""
    if not isinstance(steps, (list, tuple)):
        most = check_width("steps", steps)
        last = {name: find_level(name, given, -1) for name, given in inputs.items()}
        count = min(most, max(last.values()) + 1)
        # the coarsest of the (step + 1)-th of count equal parts: a quotient rounded up
        return [
            {name: -(-(step + 1) * (n + 1) // count) - 1 for name, n in last.items()}
            for step in range(count)
        ]
    names = list(inputs)
    example = f"steps=[{{{names[0]!r}: 0}}, {{{', '.join(f'{name!r}: -1' for name in names[:3])}}}]"
    if not steps or not all(isinstance(step, Mapping) and step for step in steps):
        raise ConfigError(
            "option steps is a number, or a list with a level for each branch that is joined, "
            f"got {steps!r}; write for example {example}"
        )
    for step in steps:
        refuse_unknown_branches("steps", step, names)
    absent = [name for name in names if not any(name in step for step in steps)]
    if absent:
        raise ConfigError(f"option steps never joins {listed(absent)}; write for example {example}")
    return [
        {
            name: find_level(name, inputs[name], step[name], "steps")
            for name in names
            if name in step
        }
        for step in steps
    ]


def _read_activations(given: Any, count: int) -> list[nn.Module]:
    """Gives what follows each step."""
    kinds = list(given) if isinstance(given, (list, tuple)) else [given] * count
    if len(kinds) != count:
        raise ConfigError(
            f"option activation has {len(kinds)} for {count} steps; write one for all, or one "
            "for each"
        )
    names = tuple(STEP_ACTIVATIONS)
    return [STEP_ACTIVATIONS[check_choice("activation", kind, names)]() for kind in kinds]
