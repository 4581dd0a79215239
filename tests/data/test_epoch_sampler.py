"""Which samples make which batch."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest

import fusionkit as fk
from fusionkit.data import EpochSampler, Repeat


def flat(sampler: EpochSampler) -> list[int]:
    return list(chain.from_iterable(sampler))


def test_the_order_depends_on_seed_and_epoch_alone():
    sampler = EpochSampler(50, 4, seed=3)
    first = flat(sampler)
    assert sorted(first) == list(range(50))
    assert flat(sampler) == first == flat(EpochSampler(50, 7, seed=3))
    sampler.set_epoch(1)
    second = flat(sampler)
    assert sorted(second) == list(range(50))
    assert second != first
    sampler.set_epoch(0)
    assert flat(sampler) == first
    assert flat(EpochSampler(50, 4, seed=4)) != first
    assert flat(EpochSampler(50, 4, shuffle=False)) == list(range(50))


@pytest.mark.parametrize("length", [5, 7, 8, 9, 16])
@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_all_processes_have_equally_many_batches(length: int, world: int, batch_size: int):
    for shuffle in (True, False):
        ranks = [
            EpochSampler(length, batch_size, shuffle=shuffle, rank=rank, world=world)
            for rank in range(world)
        ]
        batches = [list(rank) for rank in ranks]
        assert {len(each) for each in batches} == {len(ranks[0])}
        given = list(chain.from_iterable(chain.from_iterable(batches)))
        assert set(given) == set(range(length))
        counted = [index for index in given if not isinstance(index, Repeat)]
        if not shuffle:
            assert sorted(counted) == list(range(length))
        assert len(batches[0][-1]) == ranks[0].smallest_batch


def test_drop_last_gives_whole_batches_and_nothing_twice():
    ranks = [EpochSampler(11, 2, drop_last=True, rank=rank, world=2) for rank in range(2)]
    given = [index for rank in ranks for index in flat(rank)]
    assert len(given) == len(set(given)) == 8
    assert [len(rank) for rank in ranks] == [2, 2]
    assert ranks[0].smallest_batch == 2


def test_more_processes_than_samples():
    ranks = [EpochSampler(2, 4, shuffle=False, rank=rank, world=5) for rank in range(5)]
    given = [flat(rank) for rank in ranks]
    assert [len(each) for each in given] == [1] * 5
    assert [isinstance(each[0], Repeat) for each in given] == [False, False, True, True, True]


def test_f022_data_that_make_no_batch_are_refused_before_the_start():
    with pytest.raises(fk.ConfigError, match="3 samples in 1 process make no batch of 4 with drop"):
        EpochSampler(3, 4, drop_last=True)
    with pytest.raises(fk.ConfigError, match=r"5 samples in 2 processes make no .* at most 2, or"):
        EpochSampler(5, 3, drop_last=True, world=2)
    assert len(EpochSampler(3, 4)) == 1


def test_an_epoch_goes_on_in_its_middle():
    sampler = EpochSampler(20, 3, seed=1)
    sampler.set_epoch(2)
    whole = list(sampler)
    state = sampler.state_dict(done=4)
    again = EpochSampler(20, 3, seed=1)
    again.load_state_dict(state)
    assert list(again) == whole[4:]
    assert len(again) == len(whole)
    again.set_epoch(3)
    assert len(list(again)) == len(whole)
    sampler.set_epoch(2, start=len(whole))
    assert list(sampler) == []


def test_what_has_changed_is_named():
    state = EpochSampler(20, 3).state_dict()
    with pytest.raises(fk.ResumeError, match="length was 20 and is 21, batch_size was 3 and is 4"):
        EpochSampler(21, 4).load_state_dict(state)
    EpochSampler(20, 3, rank=0).load_state_dict(state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number from 1, got 0"),
        ({"batch_size": 2.0}, "batch_size must be"),
        ({"world": 0}, "world must be"),
        ({"rank": 1}, "rank 1 is none of 1 processes"),
        ({"rank": -1}, "rank must be"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str):
    with pytest.raises(fk.ConfigError, match=message):
        EpochSampler(**{"length": 5, "batch_size": 2, **options})


def test_bad_positions_and_no_samples():
    sampler = EpochSampler(5, 2)
    with pytest.raises(fk.ConfigError, match="epoch must be a whole number from 0"):
        sampler.set_epoch(-1)
    with pytest.raises(fk.ConfigError, match="start must be one of the epoch's 3 batches, got 4"):
        sampler.set_epoch(0, 4)
    with pytest.raises(fk.DataError, match="there are no samples"):
        EpochSampler(0, 2)
