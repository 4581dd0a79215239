"""State dicts in what trainers save."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn

from fusionkit.checkpoint.pickles.nested import find_states

STATE = nn.Linear(2, 3).state_dict()
OPTIMIZER = {
    "state": {"weight": {"exp_avg": torch.zeros(3, 2)}},
    "param_groups": [{"params": ["weight"]}],
}
FILES = {
    "bare": (STATE, ["."]),
    "lightning": (
        {
            "epoch": 1,
            "state_dict": STATE,
            "optimizer_states": [OPTIMIZER],
            "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5)}},
        },
        ["state_dict"],
    ),
    "timm": (
        {"epoch": 1, "state_dict": STATE, "state_dict_ema": dict(STATE), "optimizer": OPTIMIZER},
        ["state_dict", "state_dict_ema"],
    ),
    "torchvision": (
        {"model": STATE, "model_ema": dict(STATE), "optimizer": OPTIMIZER, "epoch": 2},
        ["model", "model_ema"],
    ),
    "moco": (
        {"arch": "resnet50", "state_dict": STATE, "best_acc1": torch.tensor(1.0)},
        ["state_dict"],
    ),
    "dino": (
        {"student": STATE, "teacher": dict(STATE), "optimizer": OPTIMIZER, "epoch": 1},
        ["student", "teacher"],
    ),
    "nested": ({"run": {"best": OrderedDict(net=STATE)}}, ["run.best.net"]),
    "numbered": ({0: STATE, "a": STATE}, []),
    "nothing": ({"epoch": 3, "loss": torch.tensor(0.1)}, []),
    "no mapping": ([STATE], []),
}


@pytest.mark.parametrize("name", FILES)
def test_states_are_found_by_what_they_hold(name):
    saved, expected = FILES[name]
    assert sorted(find_states(saved)) == expected


def test_f043_a_mapping_in_itself_and_one_at_many_places_end():
    loop = {"w": torch.zeros(2)}
    loop["self"] = loop
    assert list(find_states(loop)) == ["."]
    wide = {"w": torch.zeros(2)}
    for _ in range(6):
        wide = {str(number): wide for number in range(50)}
    assert len(find_states(wide)) == 1
    deep = {"w": torch.zeros(2)}
    for _ in range(3000):
        deep = {"a": deep}
    assert find_states(deep) == {}
