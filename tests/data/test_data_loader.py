"""The loader: the same batches with any number of workers, and failures that name the sample."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from data_pictures import OTHER, SMALL, listed

import fusionkit as fk
from fusionkit.data import Augment, EpochSampler, PreparedDataset, Samples, build_loader
from fusionkit.data.sample import Sample


class Doing(Samples):
    """Does something when one of its samples is asked for, in whichever process that is."""

    def __init__(self, samples: Samples, at: int, do: Any) -> None:
        self._samples, self._at, self._do = samples, at, do
        self.classes, self.input_names = samples.classes, samples.input_names
        self.ids = samples.ids

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        if index == self._at:
            self._do()
        return self._samples[index]

    @property
    def labels(self) -> tuple[int | None, ...]:
        return self._samples.labels


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang() -> None:
    time.sleep(2.5)  # longer than the timeout, and not much: the loader waits for its end


def test_any_number_of_workers_gives_the_same_batches_in_each_epoch(tmp_path: Path):
    samples = listed(tmp_path, 7)
    loaders = [
        build_loader(
            PreparedDataset(samples, {"a": SMALL, "b": OTHER}, augment=Augment(), seed=5),
            EpochSampler(7, 3, seed=5),
            workers=workers,
        )
        for workers in (0, 2)
    ]
    epochs = []
    for epoch in range(2):  # the workers live on and have to hear of the next one
        for loader in loaders:
            loader.set_epoch(epoch)
        one, two = (list(loader) for loader in loaders)
        assert [batch.ids for batch in one] == [batch.ids for batch in two]
        for mine, other in zip(one, two, strict=True):
            assert torch.equal(mine.inputs["a"], other.inputs["a"])
            assert other.inputs["a"] is other.inputs["b"]
            assert torch.equal(mine.indices, other.indices)
        epochs.append(one)
    first = {
        name: image for b in epochs[0] for name, image in zip(b.ids, b.inputs["a"], strict=True)
    }
    second = {
        name: image for b in epochs[1] for name, image in zip(b.ids, b.inputs["a"], strict=True)
    }
    assert first.keys() == second.keys()
    assert not any(torch.equal(first[name], second[name]) for name in first)


def test_an_epoch_goes_on_in_its_middle(tmp_path: Path):
    loader = build_loader(PreparedDataset(listed(tmp_path), {"a": SMALL}), EpochSampler(6, 2))
    whole = [batch.ids for batch in loader]
    loader.set_epoch(0, start=2)
    assert [batch.ids for batch in loader] == whole[2:]
    assert len(loader) == 3


def test_repetitions_are_not_counted(tmp_path: Path):
    dataset = PreparedDataset(listed(tmp_path, 3), {"a": SMALL})
    sampler = EpochSampler(3, 2, shuffle=False, rank=1, world=2)
    (batch,) = build_loader(dataset, sampler, workers=1)
    assert batch.counted.tolist() == [True, False]


@pytest.mark.parametrize("workers", [0, 1])
def test_f085_a_broken_file_is_named_and_not_wrapped_in_a_workers_traceback(
    tmp_path: Path, workers: int
):
    samples = listed(tmp_path)
    samples[4].inputs["image"].write_bytes(b"")
    loader = build_loader(
        PreparedDataset(samples, {"a": SMALL}), EpochSampler(6, 2, shuffle=False), workers=workers
    )
    with pytest.raises(fk.DataError) as caught:
        list(loader)
    path = samples[4].inputs["image"]
    told = f"sample 's4': {path} is empty: it has 0 bytes; mend it or take it away, or let such"
    assert str(caught.value) == f"{told} samples be left out (broken: skip)"


def test_f085_broken_files_of_all_workers_are_counted_together(tmp_path: Path):
    samples = listed(tmp_path, 8)
    for number in (0, 2, 5):
        samples[number].inputs["image"].write_bytes(b"")
    dataset = PreparedDataset(samples, {"a": SMALL}, broken="skip", most_broken=0.4)
    loader = build_loader(dataset, EpochSampler(8, 2, shuffle=False), workers=2)
    batches = list(loader)
    assert [len(batch) for batch in batches] == [1, 1, 1, 2]
    assert dataset.broken_samples == ("s0", "s2", "s5")
    assert [name for batch in batches for name, _ in batch.broken] == ["s0", "s2", "s5"]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_batch_of_which_nothing_can_be_read_is_passed_over(tmp_path: Path, workers: int):
    samples = listed(tmp_path, 6)
    for number in (2, 3):
        samples[number].inputs["image"].write_bytes(b"")
    dataset = PreparedDataset(samples, {"a": SMALL}, broken="skip", most_broken=0.5)
    loader = build_loader(dataset, EpochSampler(6, 2, shuffle=False), workers=workers)
    assert [batch.ids for batch in loader] == [("s0", "s1"), ("s4", "s5")]
    (_, lost, _) = loader.read()
    assert [name for name, _ in lost] == ["s2", "s3"]
    uneven = build_loader(dataset, EpochSampler(6, 1, shuffle=False, world=2), workers=workers)
    with pytest.raises(fk.DataError, match=r"none of the 1 samples .* and processes need equally"):
        list(uneven)


def test_f079_a_worker_that_is_killed_is_reported_with_its_sample(tmp_path: Path):
    samples = Doing(listed(tmp_path), 3, die)
    loader = build_loader(
        PreparedDataset(samples, {"a": SMALL}), EpochSampler(6, 2, shuffle=False), workers=1
    )
    with pytest.raises(fk.DataError, match=r"a worker ended \(.*\); being read: worker 0 at s3. L"):
        list(loader)


def test_f079_a_worker_that_hangs_is_reported_with_its_sample(tmp_path: Path):
    samples = Doing(listed(tmp_path), 1, hang)
    dataset = PreparedDataset(samples, {"a": SMALL})
    loader = build_loader(dataset, EpochSampler(6, 2, shuffle=False), workers=1, timeout=1)
    with pytest.raises(fk.DataError, match=r"loader is stuck \(.*timed out.*worker 0 at s1"):
        list(loader)


def test_f079_nobody_waits_for_ever_unless_told_so(tmp_path: Path):
    dataset, sampler = PreparedDataset(listed(tmp_path), {"a": SMALL}), EpochSampler(6, 2)
    assert build_loader(dataset, sampler, workers=1).timeout == 300
    assert build_loader(dataset, sampler, workers=1, timeout=0).timeout == 0
    assert build_loader(dataset, sampler).timeout == 0  # there is no worker to wait for


def test_other_errors_stay_what_they_are(tmp_path: Path):
    def fail() -> None:
        raise IndexError("of the samples")

    samples = Doing(listed(tmp_path), 1, fail)
    loader = build_loader(PreparedDataset(samples, {"a": SMALL}), EpochSampler(6, 2))
    with pytest.raises(IndexError, match="of the samples"):
        list(loader)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": -1}, "workers must be a whole number from 0"),
        ({"timeout": -1}, "timeout must be a number of seconds"),
        ({"sampler": 4}, "samples are loaded through an EpochSampler, which says their order"),
    ],
)
def test_bad_options(tmp_path: Path, options: dict[str, Any], message: str):
    dataset = PreparedDataset(listed(tmp_path), {"a": SMALL})
    with pytest.raises(fk.ConfigError, match=message):
        build_loader(dataset, **{"sampler": EpochSampler(6, 2), **options})
