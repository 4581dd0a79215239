"""``Unfreezing``: the one function between epochs that every loop and trainer calls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fusionkit.errors import PolicyError, ResumeError, did_you_mean
from fusionkit.model.fused import FusedModel
from fusionkit.numbers import is_count
from fusionkit.training.plateau import Plateau

__all__ = ["Unfreezing"]


class Unfreezing:
    """Freezes and thaws a model's branches from epoch to epoch, each by its own policy.

    A plain loop::

        unfreezing = Unfreezing(model)
        for epoch in range(epochs):
            model.train()
            unfreezing.begin_epoch(epoch)
            ...  # train, then validate
            unfreezing.end_epoch(epoch, {"val_loss": loss})

    A run begins with nothing thawed on a plateau, whatever an earlier one of the same model did;
    ``load_state_dict`` goes on with that one. The callbacks for Lightning and for the Hugging Face
    Trainer call the same two. Without a ``Freeze.on_plateau`` among the policies,
    ``model.set_epoch(epoch)`` does as much.

    Attributes:
        model: whose policies are followed.
        plateaus: the watch over each branch that thaws on a plateau, by branch.
    """

    def __init__(self, model: FusedModel) -> None:
        self.model = model
        self.plateaus = {name: Plateau() for name in model.thaws}
        self._observed = -1
        model.set_epoch(model.epoch, dict.fromkeys(self.plateaus, ()))

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics that have to be told at the end of each epoch."""
        freezes = (self.model.parts[name].branch.freeze for name in self.plateaus)
        return tuple(sorted({freeze.metric for freeze in freezes if freeze.metric is not None}))

    def begin_epoch(self, epoch: int) -> None:
        """Freezes and thaws what the policies say for ``epoch``, counted from 0.

        A model in train mode has the right mode in each of its parts afterwards.
        """
        self.model.set_epoch(epoch)

    def end_epoch(self, epoch: int, metrics: Mapping[str, Any] | None = None) -> tuple[str, ...]:
        """Watches the metrics of an epoch that has ended; gives the branches that thaw next.

        Args:
            epoch: counted from 0; each one once, in ascending order.
            metrics: values by name, numbers or tensors of one; more than needed may be given.

        Raises:
            PolicyError: a metric that a branch waits for is missing or not finite, or the epoch
                was told before.
        """
        if not self.plateaus:
            return ()
        if not is_count(epoch, least=self._observed + 1):
            raise PolicyError(
                f"end_epoch takes each epoch once, in ascending order: got {epoch!r:.80} after "
                f"{self._observed}"
            )
        thawing, plateaus = [], {}
        for name, plateau in self.plateaus.items():
            freeze = self.model.parts[name].branch.freeze
            value = _value(name, freeze.metric, metrics or {})
            plateaus[name] = plateau.observe(freeze, epoch, value)
            if plateaus[name].stalled >= freeze.patience and not self._is_thawed(name):
                plateaus[name] = Plateau(plateaus[name].best)
                thawing.append(name)
        self.plateaus, self._observed = plateaus, epoch
        thaws = {name: (*self.model.thaws[name], epoch + 1) for name in thawing}
        self.model.set_epoch(self.model.epoch, thaws)
        return tuple(thawing)

    def state_dict(self) -> dict[str, Any]:
        """Gives what a resumed run needs, as plain data."""
        return {
            "epoch": self.model.epoch,
            "observed": self._observed,
            "thaws": {name: list(thaws) for name, thaws in self.model.thaws.items()},
            "plateaus": {name: asdict(plateau) for name, plateau in self.plateaus.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from what ``state_dict`` gave: the epoch, what has thawed, and the watches.

        Raises:
            ResumeError: it was made for a model with other policies.
        """
        if set(state["plateaus"]) != set(self.plateaus):
            theirs, ours = sorted(state["plateaus"]), sorted(self.plateaus)
            raise ResumeError(
                f"the run was saved with {theirs} thawing on a plateau, this model has {ours}; "
                "resume with the recipe that the run began with"
            )
        self.model.set_epoch(state["epoch"], state["thaws"])
        self.plateaus = {name: Plateau(**state["plateaus"][name]) for name in self.plateaus}
        self._observed = state["observed"]

    def _is_thawed(self, name: str) -> bool:
        """Tells whether the thaws that are known leave nothing frozen that could learn."""
        part = self.model.parts[name]
        return part.learning(max(part.thaws, default=0)) == part.ever_learning()


def _value(branch: str, metric: str | None, metrics: Mapping[str, Any]) -> float:
    assert metric is not None
    if metric not in metrics:
        given = ", ".join(sorted(metrics)) or "none"
        raise PolicyError(
            f"branch {branch!r} thaws when {metric!r} stalls, which was not told; the metrics are "
            f"{given}.{did_you_mean(metric, metrics)}"
        )
    value = float(metrics[metric])
    if not math.isfinite(value):
        raise PolicyError(
            f"branch {branch!r} thaws when {metric!r} stalls, but it is {value}: the training has "
            "diverged; go back to an earlier checkpoint, with a lower learning rate"
        )
    return value
