import random

import numpy
import pytest
import torch

from fusionkit.errors import ResumeError
from fusionkit.training import read_state, write_state
from fusionkit.training.resume.random_states import capture_random, restore_random


def draw():
    return random.random(), float(numpy.random.rand()), torch.rand(2).tolist(), random.gauss(0, 1)


def test_f072_all_generators_go_on_where_they_were(tmp_path):
    random.gauss(0, 1)  # keeps a second one for later
    numpy.random.randn()
    state = read_state(write_state(tmp_path / "random", capture_random()))
    first = draw()
    draw()
    restore_random(state)
    assert draw() == first


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"torch": torch.zeros(10, dtype=torch.uint8)}, "state of torch's random numbers is none"),
        ({"torch": torch.zeros(5056)}, "state of torch's random numbers is none"),
        ({"torch": None}, "state of torch's random numbers is none"),
        ({"python": (3, (1, 2), None)}, "state of Python's random numbers is none"),
        ({"python": "garbage"}, "state of Python's random numbers is none"),
        ({"numpy": ("MT19937", numpy.zeros(3), 0)}, "state of numpy's random numbers is none"),
        ({"numpy": 7}, "state of numpy's random numbers is none"),
        (
            {"cuda": [torch.zeros(16, dtype=torch.uint8)] * 99},
            "of 99 CUDA devices were saved",
        ),
        ({"cuda": "garbage"}, "of 'garbage' CUDA devices were saved"),
    ],
)
def test_f073_garbage_is_refused_and_changes_nothing(change, said):
    before = capture_random()
    expected = draw()
    restore_random(before)
    with pytest.raises(ResumeError, match=said):
        restore_random({**before, **change})
    assert draw() == expected


@pytest.mark.parametrize("state", [None, {}, {"python": random.getstate()}])
def test_f073_what_is_missing_is_refused(state):
    with pytest.raises(ResumeError, match="the state of the random numbers is missing"):
        restore_random(state)
