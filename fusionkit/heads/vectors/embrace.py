"""EmbraceNet: each component of the fused vector comes from one branch, drawn at random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import final

import torch
from torch import Tensor

from fusionkit import Card, ConfigError, Features, FusionHead, HeadInput
from fusionkit.heads.parts.options import check_width
from fusionkit.heads.parts.perceptron import perceptron
from fusionkit.heads.parts.vectors import BranchVectors
from fusionkit.heads.parts.weights import BranchWeights, Weights

__all__ = ["Embrace"]


@final
class Embrace(FusionHead):
    """EmbraceNet: each component comes from one branch, drawn at random (arXiv:1904.09078).

    A docking layer brings each branch to one width, d_i = relu(W_i x_i). In training, each
    component of the fused vector is that of one d_i: which, is drawn anew for each sample and
    component, branch i with probability p_i. So the classifier learns to do with any mixture of
    branches. The paper draws at inference too; here eval mode takes the expectation Σ p_i d_i,
    so that the same input has the same answer.

    A branch whose input is absent has probability 0; the others' are divided by their sum, as
    in the paper.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the logits.
        width: the width of the docking layers.
        weights: the probabilities p_i: ``"equal"``; a number for each branch,
            ``{"a": 0.7, "b": 0.3}``, divided by their sum; or ``"learned"``, equal at the start.
            What is drawn has no gradient with respect to p, so that p gets the expectation's
            (straight-through, arXiv:1308.3432).
        norm: before each W_i: ``"layer"``, ``"batch"``, ``"l2"`` or ``"none"``, one for all or
            by branch; see ``Concat``.
        hidden: the width of a hidden layer after the fusion, or a list of widths, or ``None``.
        activation: after each hidden layer: ``"relu"``, ``"gelu"``, ``"silu"`` or ``"tanh"``.
        dropout: the share dropped after each hidden layer; without one, of the fused vector.

    Raises:
        ConfigError: an option's value is wrong.
    """

    takes_missing = True

    card = Card(
        formula="MLP(e), e_c = relu(W_i norm(x_i))_c with i drawn by p for each component c",
        papers=("Choi and Lee, arXiv:1904.09078",),
        reads="vectors",
        when="Where branches will be absent or fail at inference. What it learns is spread over "
        "all branches, so it gives some accuracy away where all are always there.",
        each=("norm", "relu(W_i)"),
        join="draw by component",
        after=("MLP (hidden)",),
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        width: int = 256,
        weights: Weights = "equal",
        norm: str | Mapping[str, str] = "layer",
        hidden: int | Sequence[int] | None = None,
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.reads = "vector"
        self.vectors = BranchVectors(inputs, norm=norm, project=check_width("width", width))
        if weights == "fitted":
            raise ConfigError(
                "option weights: nothing fits the probabilities of branches; write 'learned', "
                "'equal' or a number for each branch"
            )
        self.weights = BranchWeights(self.vectors.names, weights)
        self.classifier = perceptron(
            width, num_classes, hidden=hidden, activation=activation, dropout=dropout
        )

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives logits "b k"."""
        docked = {name: vector.relu() for name, vector in self.vectors(features).items()}
        fused = self.draw(docked) if self.training else self.weights.average(docked)
        logits: Tensor = self.classifier(fused)
        return logits

    def draw(self, docked: Mapping[str, Tensor]) -> Tensor:
        """Gives "b d", each component from one of the "b d" of the branches present."""
        *others, drawn = docked.values()
        bounds = list(accumulate(self.weights.shares(docked)))
        at = torch.rand(drawn.shape, device=drawn.device)
        for vector, bound in zip(reversed(others), reversed(bounds[:-1]), strict=True):
            drawn = torch.where(at < bound, vector, drawn)
        if self.weights.given is not None:
            return drawn
        expected = self.weights.average({name: d.detach() for name, d in docked.items()})
        return drawn + expected - expected.detach()
