"""What keeps the policies right while a model trains: in a plain loop, Lightning or a Trainer.

Each name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusionkit.training.checkpoint_io import StateCheckpointIO as StateCheckpointIO
    from fusionkit.training.ema import EMA as EMA
    from fusionkit.training.hf_trainer import PolicyTrainerCallback as PolicyTrainerCallback
    from fusionkit.training.hf_trainer import TrainerModel as TrainerModel
    from fusionkit.training.lightning import PolicyCallback as PolicyCallback
    from fusionkit.training.lightning_signals import SaveOnSignal as SaveOnSignal
    from fusionkit.training.optimizers import build_optimizer as build_optimizer
    from fusionkit.training.picture import draw_plan as draw_plan
    from fusionkit.training.planning import Plan as Plan
    from fusionkit.training.planning import PlanRow as PlanRow
    from fusionkit.training.planning import plan as plan
    from fusionkit.training.resume.capture import capture_run as capture_run
    from fusionkit.training.resume.position import Position as Position
    from fusionkit.training.resume.position import Resumed as Resumed
    from fusionkit.training.resume.restore import restore_run as restore_run
    from fusionkit.training.resume.run import resume_run as resume_run
    from fusionkit.training.resume.run import save_run as save_run
    from fusionkit.training.resume.run_states import RunStates as RunStates
    from fusionkit.training.seeds import seed_step as seed_step
    from fusionkit.training.signals import stop_signals as stop_signals
    from fusionkit.training.state.folder import read_state as read_state
    from fusionkit.training.state.folder import write_state as write_state
    from fusionkit.training.unfreezing import Unfreezing as Unfreezing

_HOMES = {
    "EMA": "ema",
    "PolicyTrainerCallback": "hf_trainer",
    "TrainerModel": "hf_trainer",
    "PolicyCallback": "lightning",
    "build_optimizer": "optimizers",
    "draw_plan": "picture",
    "Plan": "planning",
    "PlanRow": "planning",
    "plan": "planning",
    "Unfreezing": "unfreezing",
    "capture_run": "resume.capture",
    "restore_run": "resume.restore",
    "Position": "resume.position",
    "Resumed": "resume.position",
    "RunStates": "resume.run_states",
    "resume_run": "resume.run",
    "save_run": "resume.run",
    "seed_step": "seeds",
    "stop_signals": "signals",
    "read_state": "state.folder",
    "write_state": "state.folder",
    "SaveOnSignal": "lightning_signals",
    "StateCheckpointIO": "checkpoint_io",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'fusionkit.training' has no attribute {name!r}") from None
    value = getattr(import_module(f"fusionkit.training.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
