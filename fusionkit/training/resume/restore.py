"""``restore_run``: puts the state of a run into models and optimizers that were built anew."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from fusionkit.errors import FusionKitError, ResumeError
from fusionkit.processes import rank
from fusionkit.training.resume.capture import Stateful, check_parts
from fusionkit.training.resume.changes import compare_settings, run_settings
from fusionkit.training.resume.model_state import inner_model, replay_freeze, restore_model
from fusionkit.training.resume.optimizer_state import restore_optimizer
from fusionkit.training.resume.position import Position, Resumed
from fusionkit.training.resume.random_states import restore_random
from fusionkit.training.resume.rates import scale_rates

__all__ = ["restore_run"]

ENTRIES = {
    "position", "finished", "inexact", "settings", "model", "optimizer", "parts", "random", "extra",
}  # fmt: skip
OPTIONS = "optimizer.groups"


def restore_run(
    state: Mapping[str, Any],
    model: nn.Module,
    optimizer: Optimizer,
    *,
    scheduler: Stateful | None = None,
    unfreezing: Stateful | None = None,
    sampler: Stateful | None = None,
    scaler: Stateful | None = None,
    ema: Stateful | None = None,
    settings: Mapping[str, Any] | None = None,
    allow: Collection[str] = (),
    inexact: bool = False,
    path: Path | None = None,
) -> Resumed:
    """Puts back what ``capture_run`` gave, and says where the run stands.

    Freezing comes first, so that the optimizer's state meets what it was saved with; the state of
    each parameter goes by its name. The saved options of the optimizer's groups win over those
    that it was built with. Where ``allow`` lets these differ, the new ones win: each rate then is
    the saved one times new over old. Of several processes only rank 0's random numbers were saved,
    and are put back there; ``seed_step`` gives each its own.

    Args:
        state: what ``capture_run`` gave, or ``read_state``.
        model: built as it was when the run began, and so all that follows.
        optimizer: of parameters of the model.
        scheduler: given if and only if one was saved, and so the other parts.
        unfreezing: the freeze state.
        sampler: of the batches.
        scaler: of the gradients.
        ema: the moving average.
        settings: as for ``capture_run``.
        allow: settings that may have changed, such as ``["batch_size", "versions.torch"]``;
            ``Resumed.inexact`` says which did.
        inexact: go on although the states of the random numbers cannot be put back, and note it.
        path: where the state was read, for messages.

    Raises:
        ResumeError: settings have changed, or the state does not fit what it is put into.
        ConfigError: ``allow`` names no setting, or a part has no state.
    """
    if not isinstance(state, Mapping) or set(state) != ENTRIES:
        raise ResumeError("this is no state of a run, as capture_run gives it")
    parts = {
        "unfreezing": unfreezing,  # which the scheduler's rates after a thaw depend on
        "scheduler": scheduler,
        "sampler": sampler,
        "scaler": scaler,
        "ema": ema,
    }
    check_parts(parts)
    _compare_parts(state["parts"], parts)
    inner = inner_model(model)
    now = run_settings(inner, optimizer, scheduler, settings)
    changed = compare_settings(state["settings"], now, allow)
    new_options = any(each.startswith(f"{OPTIONS}.") for each in changed)
    noted = [*state["inexact"], *changed]
    replay_freeze(state["model"], inner)
    restore_model(state["model"], inner)
    restore_optimizer(state["optimizer"], inner, optimizer, new_options=new_options)
    for name, part in parts.items():
        if part is not None:
            _restore_part(name, part, state["parts"][name])
    if new_options:
        scale_rates(state["optimizer"], optimizer, scheduler)
    noted += _restore_random(state["random"], inexact)
    return Resumed(
        position=Position(**state["position"]),
        extra=state["extra"],
        finished=state["finished"],
        inexact=tuple(dict.fromkeys(noted)),
        path=path,
    )


def _compare_parts(saved: Mapping[str, Any], now: Mapping[str, object]) -> None:
    for name, part in now.items():
        if (name in saved) != (part is not None):
            raise ResumeError(
                f"the run was saved with a {name}; give {name}=..., in its first state"
                if name in saved
                else f"the run was saved without a {name}; leave {name}= out"
            )


def _restore_part(name: str, part: Stateful, state: Any) -> None:
    try:
        part.load_state_dict(state)
    except FusionKitError as error:
        raise ResumeError(f"the {name} does not take its saved state: {error}") from error
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ResumeError(f"the {name} does not take its saved state: {error!r}") from error


def _restore_random(state: Any, inexact: bool) -> tuple[str, ...]:
    """Restores the random numbers, and says what is not as before; those of rank 0 are saved."""
    if rank() != 0:
        return ()
    try:
        restore_random(state)
    except ResumeError as error:
        if not inexact:
            raise ResumeError(
                f"{error}; with inexact=True the run goes on with other random numbers, and says so"
            ) from error
        return (str(error),)
    return ()
