"""``GradientBlending``: weights of the losses, from how much each branch overfits."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, final

from torch import Tensor
from torch.nn.functional import cross_entropy

from fusionkit.balance.losses import AuxiliaryLoss, Loss, Losses, average_losses
from fusionkit.balance.weights import LossWeights, check_branches
from fusionkit.errors import PolicyError
from fusionkit.model.fused import FusedModel
from fusionkit.numbers import is_number

__all__ = ["GradientBlending"]

Batches: TypeAlias = Iterable[tuple[Any, Tensor]]


@final
class GradientBlending:
    """Weights for the fused loss and each branch's, by how each overfits (arXiv:1905.12681).

    Between two checkpoints, G_i is by how much the held-out loss of branch i (or of the fused
    answer) fell, and O_i by how much the gap between its held-out and its training loss grew.
    The weights are G_i / O_i², together 1: what generalises counts, what overfits does not.
    What generalises no more (G_i ≤ 0) gets 0; if nothing does, the weights stay.

    Two ways to measure. ``estimate`` is the paper's: a copy of the model is trained for each loss
    alone. Called once before training (offline), or at the start of each super-epoch (online).
    ``update`` costs two evaluations: it takes the average losses of the run itself at one
    checkpoint after another.

    Example::

        blending = fusionkit.balance.GradientBlending(model)
        for epoch in range(20):
            if epoch % 5 == 0:  # a super-epoch
                blending.update(average_losses(model, train), average_losses(model, held_out))
            loss = fusionkit.balance.AuxiliaryLoss(blending.weights)
            ...

    Args:
        model: whose branches get weights.
        least: an |O_i| below it counts as this much, so that no noise around no overfitting at
            all decides.

    Attributes:
        weights: as they are now; all equal at the start.
    """

    def __init__(self, model: FusedModel, *, least: float = 1e-3) -> None:
        if not is_number(least) or not 0 < least < float("inf"):
            raise PolicyError(f"GradientBlending: least is a positive number, got {least!r:.80}")
        self.names = tuple(model.branches)
        self.least = least
        share = 1 / (1 + len(self.names))
        self.weights = LossWeights(share, dict.fromkeys(self.names, share))
        self._before: tuple[Losses, Losses] | None = None

    def update(self, train: Losses, held_out: Losses) -> LossWeights:
        """Notes the average losses at a checkpoint, and gives weights from the second one on.

        Args:
            train: over the training samples, see ``average_losses``.
            held_out: over samples that are not trained on.

        Raises:
            PolicyError: these are not the losses of the model's branches.
        """
        for losses in (train, held_out):
            check_branches("the losses", losses.branches, self.names)
        before, now = self._before, (_as_numbers(train), _as_numbers(held_out))
        self._before = now
        if before is not None:
            self._set(_ratios(before, now, self.least))
        return self.weights

    def estimate(
        self,
        model: FusedModel,
        train: Callable[[FusedModel, AuxiliaryLoss], object],
        batches: Batches,
        held_out: Batches,
        loss: Loss = cross_entropy,
    ) -> LossWeights:
        """Trains a copy of the model for each loss alone, and gives the weights (algorithm 1).

        Args:
            model: as it is now; it stays so.
            train: trains a copy with a loss for as many epochs as a super-epoch has; it makes
                an optimizer of its own.
            batches: the training samples, which can be gone through again and again.
            held_out: samples that are not trained on.
            loss: of scores "b k" and labels.
        """
        before = average_losses(model, batches, loss), average_losses(model, held_out, loss)
        check_branches("the losses", before[0].branches, self.names)
        ratios = {}
        for name in (None, *self.names):
            twin = copy.deepcopy(model)
            alone = LossWeights(float(name is None), {n: float(n == name) for n in self.names})
            train(twin, AuxiliaryLoss(alone, loss))
            now = average_losses(twin, batches, loss), average_losses(twin, held_out, loss)
            ratios[name] = _ratios(before, now, self.least)[name]
        self._set(ratios)
        return self.weights

    def state_dict(self) -> dict[str, Any]:
        """Gives the weights and the last checkpoint's losses, as plain numbers."""
        before = None if self._before is None else [_plain(each) for each in self._before]
        return {"weights": _plain(self.weights), "before": before}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where ``state_dict`` was taken.

        Raises:
            PolicyError: that is no state of this policy, or of other branches.
        """
        if set(state) != {"weights", "before"}:
            raise PolicyError(
                f"GradientBlending: its state has 'weights' and 'before', got {sorted(state)!r:.80}"
            )
        saved = [state["weights"], *(state["before"] or ())]
        for each in saved:
            check_branches("the saved weights", each["branches"], self.names)
        self.weights = LossWeights(**state["weights"])
        self._before = None
        if state["before"] is not None:
            train, held_out = (Losses(**each) for each in state["before"])
            self._before = (train, held_out)

    def _set(self, ratios: Mapping[str | None, float]) -> None:
        total = sum(ratios.values())
        if total > 0:
            own = {name: ratios[name] / total for name in self.names}
            self.weights = LossWeights(ratios[None] / total, own)


def _ratios(
    before: tuple[Losses, Losses], now: tuple[Losses, Losses], least: float
) -> dict[str | None, float]:
    """Gives G / O² by branch, and of the fused answer under ``None``."""
    (train, held_out), (new_train, new_held_out) = map(_by_name, before), map(_by_name, now)
    ratios = {}
    for name in train:
        four = (train[name], held_out[name], new_train[name], new_held_out[name])
        if not all(map(math.isfinite, four)):
            whose = "the fused answer" if name is None else f"branch {name!r}"
            raise PolicyError(
                f"GradientBlending: a loss of {whose} is not finite: {four}; the training has "
                "diverged, go back to an earlier checkpoint"
            )
        generalised = held_out[name] - new_held_out[name]
        gap, new_gap = held_out[name] - train[name], new_held_out[name] - new_train[name]
        ratios[name] = max(generalised, 0.0) / max(abs(new_gap - gap), least) ** 2
    return ratios


def _by_name(losses: Losses) -> dict[str | None, float]:
    by_name: dict[str | None, float] = {None: losses.fused}
    return by_name | losses.branches


def _as_numbers(losses: Losses) -> Losses:
    own = {name: float(each) for name, each in losses.branches.items()}
    return Losses(float(losses.fused), own)


def _plain(each: Losses | LossWeights) -> dict[str, Any]:
    assert isinstance(each.branches, dict)
    return {"fused": each.fused, "branches": dict(each.branches)}
