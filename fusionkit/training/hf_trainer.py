"""The policies inside the ``Trainer`` of Hugging Face transformers."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from fusionkit.errors import ConfigError
from fusionkit.model.fused import FusedModel
from fusionkit.training.find_model import find_model
from fusionkit.training.unfreezing import Unfreezing

__all__ = ["PolicyTrainerCallback", "TrainerModel"]

THEIRS, OURS = "eval_", "val_"


class TrainerModel(nn.Module):
    """Calls a fused model as the ``Trainer`` does: inputs by keyword, the loss beside the logits.

    Attributes:
        model: what is trained; save it with ``fusionkit.save(trainer.model.model, folder)``.
    """

    accepts_loss_kwargs = False  # or the Trainer would hand over a count of samples as an input

    def __init__(self, model: FusedModel, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.model = model
        self.label_smoothing = label_smoothing

    def forward(self, labels: Tensor | None = None, **inputs: Any) -> dict[str, Tensor]:
        """Gives ``logits`` "b k" and, where there are labels "b", the ``loss``.

        Args:
            labels: whole numbers.
            inputs: by input or branch name, as the collated samples name them.
        """
        logits = self.model(inputs)
        if labels is None:
            return {"logits": logits}
        loss = cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        return {"loss": loss, "logits": logits}


class PolicyTrainerCallback(TrainerCallback, ExportableState):
    """Freezes and thaws between the epochs of a ``Trainer``, and keeps that in its checkpoints.

    Give the ``Trainer`` an optimizer from ``model.param_groups`` and a scheduler from
    ``model.lr_scheduler``, as ``optimizers=(optimizer, scheduler)``: what it makes itself has
    one rate for all groups. A metric that a ``Freeze.on_plateau`` waits for is found under its
    own name or by the ``Trainer``'s, ``eval_loss`` for ``val_loss``; the last evaluation of an
    epoch counts, and an epoch without one does not where ``eval_strategy`` is ``"steps"``.

    Args:
        model: whose policies are followed; by default the one that the ``Trainer`` has.
    """

    def __init__(self, model: FusedModel | None = None) -> None:
        self._model = model
        self._unfreezing: Unfreezing | None = None
        self._metrics: dict[str, float] = {}

    @property
    def unfreezing(self) -> Unfreezing:
        """What follows the policies; there once the training has begun."""
        assert self._unfreezing is not None
        return self._unfreezing

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Finds the model, goes on from a checkpoint, and freezes what its epoch freezes.

        Raises:
            ConfigError: the ``Trainer`` would take the inputs out of the samples.
        """
        if args.remove_unused_columns and any(
            isinstance(each, TrainerModel) for each in kwargs["model"].modules()
        ):
            raise ConfigError(
                "the Trainer takes out of the samples what TrainerModel.forward does not name, "
                "which are all inputs; write TrainingArguments(remove_unused_columns=False)"
            )
        model = self._model or find_model(kwargs["model"], type(self).__name__)
        self._unfreezing = Unfreezing(model)
        saved = _saved(state, type(self).__name__)
        if saved:
            self._unfreezing.load_state_dict(saved["unfreezing"])
            self._metrics = dict(saved["metrics"])
        self._unfreezing.begin_epoch(int(state.epoch or 0))

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Watches the metrics of the epoch before, then freezes and thaws for this one."""
        epoch = int(round(state.epoch or 0, 6))
        if self.unfreezing.metrics and epoch and (self._metrics or args.eval_strategy != "steps"):
            self.unfreezing.end_epoch(epoch - 1, self._metrics)
        self._metrics = {}
        self.unfreezing.begin_epoch(epoch)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Keeps the metrics that branches wait for."""
        if self._unfreezing is None:  # evaluated by itself
            return
        found = dict(metrics or {})
        found |= {OURS + k[len(THEIRS) :]: v for k, v in found.items() if k.startswith(THEIRS)}
        self._metrics = {name: found[name] for name in self.unfreezing.metrics if name in found}

    def state(self) -> dict[str, Any]:
        """Gives what a resumed run needs, for the ``Trainer``'s own state file."""
        if self._unfreezing is None:
            return {"args": {}, "attributes": {}}
        saved = {"unfreezing": self._unfreezing.state_dict(), "metrics": self._metrics}
        return {"args": {}, "attributes": {"saved": saved}}


def _saved(state: TrainerState, name: str) -> dict[str, Any]:
    """Gives what ``PolicyTrainerCallback.state`` gave, from the state that is resumed."""
    callbacks: Any = state.stateful_callbacks or {}
    data = callbacks.get(name, {})
    first = data[0] if isinstance(data, list) else data
    saved: dict[str, Any] = first.get("attributes", {}).get("saved", {})
    return saved
