import random
from itertools import product

import numpy
import pytest
import torch

from fusionkit.errors import ConfigError
from fusionkit.training.seeds import seed_step, step_seed


def draw():
    return (
        random.random(),
        float(numpy.random.rand()),
        torch.rand(3).tolist(),
        torch.nn.functional.dropout(torch.ones(64)).tolist(),
    )


def test_f072_a_step_draws_the_same_whatever_ran_before():
    seed_step(3, 17)
    first = draw()
    for seed, step, rank in ((3, 18, 0), (4, 17, 0), (3, 17, 1)):
        seed_step(seed, step, rank)
        other = draw()
        assert all(one != two for one, two in zip(first, other, strict=True))
    torch.rand(1000)
    seed_step(3, 17)
    assert draw() == first


def test_neighbouring_seeds_steps_and_ranks_never_meet_in_any_half():
    seeds = [step_seed(*place) for place in product((0, 1, 2, 2**32), range(300), range(8))]
    assert len(set(seeds)) == len(seeds)
    for seed in (0, 1):
        lows = {step_seed(seed, step) & 0xFFFFFFFF for step in range(30_000)}
        assert len(lows) == 30_000
    assert len({step_seed(5, 7, rank) & 0xFFFFFFFF for rank in range(5000)}) == 5000
    assert all(0 <= seed < 2**64 for seed in seeds)


def test_the_bits_of_neighbouring_steps_have_nothing_in_common():
    flips = torch.zeros(64)
    for step in range(2000):
        both = step_seed(0, step) ^ step_seed(0, step + 1)
        flips += torch.tensor([both >> bit & 1 for bit in range(64)])
    assert float((flips / 2000 - 0.5).abs().max()) < 0.06  # five standard deviations


def test_large_numbers_count_whole():
    assert step_seed(1, 2**32) != step_seed(1, 0)
    assert step_seed(2**40, 0) != step_seed(2**41, 0)
    assert step_seed(2**64, 0) != step_seed(0, 0)


@pytest.mark.parametrize("place", [(0.5, 0), (0, -1), (0, True), (0, 0, None)])
def test_what_is_no_number_of_a_step_is_refused(place):
    with pytest.raises(ConfigError, match=r"(seed|step|rank) is a whole number, zero or more"):
        seed_step(*place)
