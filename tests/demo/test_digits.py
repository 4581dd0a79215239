"""Which digits are used for what."""

from __future__ import annotations

import builtins

import pytest
import torch

import fusionkit as fk
from fusionkit.demo.digits import HELD_OUT_FROM, KNOWN, NEW, VALIDATION_PER_CLASS, Digits, draw_task


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits.read()


def fingerprints(part: Digits) -> set[bytes]:
    return {image.numpy().tobytes() for image in part.images}


def test_digits_are_grey_images_between_0_and_1(digits: Digits) -> None:
    assert digits.images.shape == (1797, 1, 8, 8)
    assert (digits.images.min(), digits.images.max()) == (0, 1)
    assert digits.labels.unique().tolist() == list(range(10))


def test_classes_are_labelled_by_their_place(digits: Digits) -> None:
    part = digits.of((7, 9), held_out=True)
    original = digits.labels[HELD_OUT_FROM:]
    assert torch.equal(part.labels, (original[(original == 7) | (original == 9)] == 9).long())


def test_pretraining_and_transfer_share_no_class_and_no_held_out_writer(digits: Digits) -> None:
    assert not set(KNOWN) & set(NEW)
    pretraining = digits.of(KNOWN, held_out=False)
    task = draw_task(digits, 20, seed=0)
    assert len(pretraining) == int(torch.isin(digits.labels[:HELD_OUT_FROM], torch.arange(5)).sum())
    held_out = digits.images[HELD_OUT_FROM:][digits.labels[HELD_OUT_FROM:] >= 5]
    assert torch.equal(task.test.images, held_out)


def test_learning_choosing_and_testing_use_different_images(digits: Digits) -> None:
    for seed in range(5):
        task = draw_task(digits, 20, seed)
        train, validation, test = (
            fingerprints(part) for part in (task.train, task.validation, task.test)
        )
        assert not train & validation
        assert not train & test
        assert not validation & test


def test_each_class_gets_its_labels(digits: Digits) -> None:
    task = draw_task(digits, 7, seed=3)
    assert task.train.labels.bincount().tolist() == [7] * 5
    assert task.validation.labels.bincount().tolist() == [VALIDATION_PER_CLASS] * 5


def test_a_seed_draws_the_same_labels_again_and_another_seed_others(digits: Digits) -> None:
    first, again, other = (draw_task(digits, 10, seed) for seed in (1, 1, 2))
    assert torch.equal(first.train.images, again.train.images)
    assert torch.equal(first.validation.images, again.validation.images)
    assert not torch.equal(first.train.images, other.train.images)
    assert torch.equal(first.test.images, other.test.images)


@pytest.mark.parametrize("labels", [0, -1, 10_000])
def test_labels_that_are_not_there_are_refused(digits: Digits, labels: int) -> None:
    with pytest.raises(fk.ConfigError, match=rf"takes 1 to \d+ labels per class, got {labels}"):
        draw_task(digits, labels, seed=0)


def test_as_many_labels_as_there_are_can_be_used(digits: Digits) -> None:
    counts = digits.of(NEW, held_out=False).labels.bincount()
    most = int(counts.min()) - VALIDATION_PER_CLASS
    task = draw_task(digits, most, seed=0)
    assert len(task.train) == most * 5
    assert len(task.validation) == VALIDATION_PER_CLASS * 5


def test_without_scikit_learn_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: object, **kwargs: object) -> object:
        if name.startswith("sklearn"):
            raise ModuleNotFoundError("No module named 'sklearn'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(fk.ConfigError, match=r"pip install 'torch-fusionkit\[demo\]'"):
        Digits.read()
