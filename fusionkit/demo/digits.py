"""Handwritten digits, and which of them may be used for what."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

import fusionkit as fk

__all__ = ["HELD_OUT_FROM", "KNOWN", "NEW", "VALIDATION_PER_CLASS", "Digits", "Task", "draw_task"]

KNOWN = (0, 1, 2, 3, 4)
"""The classes that the shipped backbones were pretrained on."""
NEW = (5, 6, 7, 8, 9)
"""The classes that the demo transfers to; no backbone has seen any of them."""
HELD_OUT_FROM = 1029
"""The first image of the held-out part. By the pattern of its labels the file comes writer by
writer, and the cut falls between two of them: the held-out writers are strangers to all that was
learned."""
VALIDATION_PER_CLASS = 20
"""Labelled images per class with which the winner is chosen."""


@dataclass(frozen=True, slots=True)
class Digits:
    """Images "n 1 8 8" in [0, 1] and their labels "n".

    Attributes:
        images: grey, ink is 1.
        labels: the digit, or its index among the classes of a task.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Tensor) -> Digits:
        return Digits(self.images[rows], self.labels[rows])

    @classmethod
    def read(cls) -> Digits:
        """Reads the 1,797 digits that come with scikit-learn (Alpaydin and Kaynak, 1998).

        Raises:
            ConfigError: scikit-learn is not installed.
        """
        try:
            from sklearn.datasets import load_digits
        except ImportError as error:
            raise fk.ConfigError(
                "the demo reads scikit-learn's handwritten digits, and scikit-learn is not "
                "installed: pip install 'torch-fusionkit[demo]'"
            ) from error
        bunch = load_digits()
        images = torch.tensor(bunch.images, dtype=torch.float32).unsqueeze(1) / 16
        return cls(images, torch.tensor(bunch.target))

    def of(self, classes: tuple[int, ...], *, held_out: bool) -> Digits:
        """Gives one side of the cut, of some classes, labelled by their place in ``classes``."""
        position = torch.arange(len(self))
        side = position >= HELD_OUT_FROM if held_out else position < HELD_OUT_FROM
        wanted = torch.isin(self.labels, torch.tensor(classes))
        part = self[(side & wanted).nonzero().squeeze(1)]
        return Digits(part.images, torch.searchsorted(torch.tensor(classes), part.labels))


@dataclass(frozen=True, slots=True)
class Task:
    """Five new classes with few labels.

    Attributes:
        train: to learn from.
        validation: to choose the winner with.
        test: to report; neither learned from nor chosen with.
    """

    train: Digits
    validation: Digits
    test: Digits


def draw_task(digits: Digits, labels_per_class: int, seed: int) -> Task:
    """Draws the labelled images at random, the same ones for the same seed.

    Args:
        digits: all of them.
        labels_per_class: how many images of each new class are learned from.
        seed: of the draw.

    Raises:
        ConfigError: there are not that many images, or fewer than one is asked for.
    """
    pool = digits.of(NEW, held_out=False)
    most = int(pool.labels.bincount().min()) - VALIDATION_PER_CLASS
    if not 1 <= labels_per_class <= most:
        raise fk.ConfigError(f"the demo takes 1 to {most} labels per class, got {labels_per_class}")
    generator = torch.Generator().manual_seed(seed)
    shuffled = pool[torch.randperm(len(pool), generator=generator)]
    train, validation = [], []
    for label in range(len(NEW)):
        rows = (shuffled.labels == label).nonzero().squeeze(1)
        train.append(rows[:labels_per_class])
        validation.append(rows[labels_per_class : labels_per_class + VALIDATION_PER_CLASS])
    return Task(
        train=shuffled[torch.cat(train)],
        validation=shuffled[torch.cat(validation)],
        test=digits.of(NEW, held_out=True),
    )
