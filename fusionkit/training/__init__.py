"""What keeps the policies right while a model trains: in a plain loop, Lightning or a Trainer.

Each name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusionkit.training.ema import EMA as EMA
    from fusionkit.training.hf_trainer import PolicyTrainerCallback as PolicyTrainerCallback
    from fusionkit.training.hf_trainer import TrainerModel as TrainerModel
    from fusionkit.training.lightning import PolicyCallback as PolicyCallback
    from fusionkit.training.optimizers import build_optimizer as build_optimizer
    from fusionkit.training.picture import draw_plan as draw_plan
    from fusionkit.training.planning import Plan as Plan
    from fusionkit.training.planning import PlanRow as PlanRow
    from fusionkit.training.planning import plan as plan
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
