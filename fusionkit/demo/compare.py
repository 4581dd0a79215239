"""Trains every contender on the same draws of labels and says who won."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import mean

import torch

import fusionkit as fk
from fusionkit.demo.backbones import Contender
from fusionkit.demo.digits import NEW, Digits, draw_task
from fusionkit.demo.report import count_trainable
from fusionkit.demo.train import Score, fit, score

__all__ = ["Outcome", "compare", "winner"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one contender reached.

    Attributes:
        title: the contender's.
        model: as trained on the first draw.
        validation: one score for each draw, on the images that choose the winner.
        test: one score for each draw, on the held-out images.
        trainable: parameters that learn in the last epoch.
        seconds: of training, the mean over the draws.
    """

    title: str
    model: fk.FusedModel
    validation: tuple[Score, ...]
    test: tuple[Score, ...]
    trainable: int
    seconds: float


def compare(
    contenders: Sequence[Contender],
    digits: Digits,
    *,
    labels_per_class: int,
    epochs: int,
    seeds: Sequence[int],
    on_start: Callable[[str], object] = lambda title: None,
    after_epoch: Callable[[], object] = lambda: None,
) -> list[Outcome]:
    """Trains and scores every contender once for each seed; the same seeds, the same outcome.

    Args:
        contenders: what to compare.
        digits: all of them; ``draw_task`` says which are used for what.
        labels_per_class: images of each new class to learn from.
        epochs: passes over them.
        seeds: one for each draw of labels, initial head and order of images.
        on_start: called with a contender's title before its training.
        after_epoch: called after each pass.
    """
    outcomes = []
    for contender in contenders:
        models, validation, test, seconds = [], [], [], []
        on_start(contender.title)
        for seed in seeds:
            task = draw_task(digits, labels_per_class, seed)
            with _seeded(seed):
                model = fk.compose(
                    contender.branches, contender.head, len(NEW), preprocess="inside"
                )
                start = time.perf_counter()
                fit(model, task.train, epochs=epochs, seed=seed, after_epoch=after_epoch)
                seconds.append(time.perf_counter() - start)
            models.append(model)
            validation.append(score(model, task.validation))
            test.append(score(model, task.test))
        outcomes.append(
            Outcome(
                contender.title,
                models[0],
                tuple(validation),
                tuple(test),
                count_trainable(models[0]),
                mean(seconds),
            )
        )
    return outcomes


def winner(outcomes: Sequence[Outcome]) -> Outcome:
    """Gives the outcome of the highest validation accuracy, of equal ones that of lowest loss.

    The held-out images have no say, so that their accuracy is what new images would see.
    """
    return max(
        outcomes,
        key=lambda outcome: (
            mean(score.accuracy for score in outcome.validation),
            -mean(score.loss for score in outcome.validation),
        ),
    )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seeds torch and gives the caller's random state back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
