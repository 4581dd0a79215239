"""Stacked generalisation: a small model on what the branches say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from fusionkit import AssemblyError, Card, ConfigError, Features, FusionHead, HeadInput
from fusionkit.heads.parts.held_out import fit_classifiers, held_out_scores
from fusionkit.heads.parts.linear_classifier import fit_linear
from fusionkit.heads.parts.options import check_flag, check_widths, is_number
from fusionkit.heads.parts.perceptron import perceptron
from fusionkit.heads.parts.scores import BranchScores
from fusionkit.heads.scores.averaging import log_softmaxes

__all__ = ["Stacking"]


@final
class Stacking(FusionHead):
    """Stacking: a small model on the log-probabilities of all branches (Wolpert, 1992).

    Without a hidden layer it is linear and starts as their mean, and ``fusionkit.fit_head`` fits
    it by logistic regression whose penalty pulls towards that mean. It must learn from scores of
    samples that the branches' classifiers have not seen: others make the classifier that learned
    by heart look best. So hand over held-out samples; where the head fits linear layers of its
    own, it takes their out-of-fold scores by itself.

    A branch whose stock classifier has ``num_classes`` classes is read by its logits, any other
    by its vector, through a new linear layer. A branch whose input is absent is taken to say
    what the others say on average.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the scores.
        hidden: the width of a hidden layer, or a list of widths, or ``None``; with any, it is
            trained by gradient only.
        activation: after each hidden layer: ``"relu"``, ``"gelu"``, ``"silu"`` or ``"tanh"``.
        dropout: the share dropped after each hidden layer; without one, of the scores.
        norm: what comes before the new linear layers: ``"layer"``, ``"batch"``, ``"l2"`` or
            ``"none"``, one for all or by branch.
        penalty: how strongly a fit pulls towards the mean: half of it times the squares of what
            is added for standardised scores counts beside the summed loss of the samples.
        refit: whether a fit sets the new linear layers too. ``False`` keeps those that were
            trained; then hand over samples that they have not seen.

    Raises:
        ConfigError: an option's value is wrong.
    """

    takes_logits = True
    takes_missing = True

    card = Card(
        formula="MLP([log softmax(z_1); ...; log softmax(z_N)])",
        papers=("Wolpert, Neural Networks 5(2), 1992",),
        reads="scores",
        when="Many held-out samples, and branches that confuse classes in ways that one can "
        "learn to undo. With few, greedy_selection or fitted weights overfit less.",
        each=("classifier", "log softmax"),
        join="concat",
        after=("MLP (hidden)",),
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        hidden: int | Sequence[int] | None = None,
        activation: str = "relu",
        dropout: float = 0.0,
        norm: Any = "layer",
        penalty: float = 1.0,
        refit: bool = True,
    ) -> None:
        super().__init__()
        self.scores = BranchScores(inputs, num_classes, norm=norm)
        self.reads = self.scores.reads
        if not (is_number(penalty) and penalty > 0):
            raise ConfigError(f"option penalty takes a positive, finite number, got {penalty!r}")
        self.penalty = penalty
        self.refit = check_flag("refit", refit)
        self.model = perceptron(
            len(inputs) * num_classes,
            num_classes,
            hidden=hidden,
            activation=activation,
            dropout=dropout,
        )
        self.fits = self.linear = not check_widths("hidden", hidden)
        if self.linear:
            self._set(*_mean(len(inputs), self._last))

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives logits "b k"."""
        joined = self._join(log_softmaxes(self.scores(features)))
        logits: Tensor = self.model(joined.to(self._last.weight.dtype))
        return logits

    def branch_scores(self, features: Mapping[str, Features]) -> dict[str, Tensor]:
        """Gives what each branch says by itself."""
        scores: dict[str, Tensor] = self.scores(features)
        return scores

    @torch.no_grad()
    def fit(self, features: Mapping[str, Features], labels: Tensor) -> None:
        """Sets the linear model on the scores, and the new linear layers.

        Raises:
            AssemblyError: there is a hidden layer.
            DataError: new linear layers are to be fitted, and no class has two samples.
        """
        if not self.linear:
            raise AssemblyError(
                "Stacking with hidden layers is trained by gradient; leave out the option "
                "hidden to fit it"
            )
        held, known = held_out_scores(self.scores, features, labels, refit=self.refit)
        joined = self._join(log_softmaxes(held))
        weight, bias = _mean(len(held), self._last)
        mean = joined @ weight.to(joined).T
        more, shift = fit_linear(joined, known, len(bias), offset=mean, penalty=self.penalty)
        self._set(weight.to(more) + more, bias.to(shift) + shift)
        if self.refit:
            fit_classifiers(self.scores, features, labels)

    def _join(self, logs: Mapping[str, Tensor]) -> Tensor:
        """Gives "b nk", with the mean of those that are there where a branch is absent."""
        mean = torch.stack(list(logs.values())).mean(0)
        return torch.cat([logs.get(name, mean) for name in self.scores.names], -1)

    @property
    def _last(self) -> nn.Linear:
        last = self.model[-1]
        assert isinstance(last, nn.Linear)
        return last

    @torch.no_grad()
    def _set(self, weight: Tensor, bias: Tensor) -> None:
        self._last.weight.copy_(weight)
        self._last.bias.copy_(bias)


def _mean(count: int, last: nn.Linear) -> tuple[Tensor, Tensor]:
    """Gives the weight "k nk" and the bias "k" that take the mean."""
    like = last.weight.detach()
    identity = torch.eye(last.out_features, dtype=like.dtype, device=like.device)
    return identity.repeat(1, count) / count, like.new_zeros(last.out_features)
