"""A sound small backbone, and the zoo into which ones that break a promise each are planted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

import fusionkit as fk

WIDTH = 16


class Sound(fk.Backbone):
    """A convnet with a norm, dropout and a classifier of five classes; it keeps every promise."""

    def __init__(self, in_channels: int = 3, num_classes: int | None = None) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.num_classes = num_classes if num_classes == 5 else None
        self.embed_dim = WIDTH
        self.levels = (fk.Level(8, 2), fk.Level(WIDTH, 4), fk.Level(WIDTH, 8))
        self.first_layers = ("stem.0.weight",)
        self.preprocessing = fk.Preprocessing(size=(96, 96)).for_channels(in_channels)
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.Hardswish()
        )
        self.body = nn.Sequential(self.layer(8), self.layer(WIDTH))
        self.drop = nn.Dropout(0.2)
        self.top = nn.Linear(WIDTH, WIDTH)
        self.stages = (fk.Stage("stem"), fk.Stage("body", "body.0", "body.1"), fk.Stage("top"))
        if self.num_classes:
            self.fc = nn.Linear(WIDTH, self.num_classes)
            self.stages += (fk.Stage("fc"),)

    def layer(self, width: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(width, WIDTH, 3, 2, 1), nn.BatchNorm2d(WIDTH), nn.Hardswish()
        )

    def trunk(self, x: Tensor) -> list[Tensor]:
        maps = [self.stem(x)]
        for layer in self.body:
            maps.append(layer(maps[-1]))
        return maps

    def pool(self, x: Tensor) -> Tensor:
        return self.top(self.drop(x.mean((2, 3))))

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        maps = self.trunk(x)
        vector = self.pool(maps[-1]) if reads.vector or reads.logits else None
        return fk.Features(
            vector if reads.vector else None,
            tuple(maps[level] for level in reads.levels),
            self.fc(vector) if reads.logits else None,
        )


def factory(kind: type[fk.Backbone]) -> Callable[..., fk.Backbone]:
    """Gives the factory that a plugin would offer for a class."""

    def make(
        *, in_channels: int = 3, weights: str | None = None, num_classes: int | None = None
    ) -> fk.Backbone:
        return kind(in_channels, num_classes)

    make.__qualname__ = kind.__name__
    return make


@dataclass(frozen=True)
class Evil:
    """A backbone with a planted fault.

    Attributes:
        check: the name of the check that must catch it.
        make: its factory.
        says: a part of what the finding must say.
        also: checks that cannot but fail too.
    """

    check: str
    make: Callable[..., Any]
    says: str
    also: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return self.make.__qualname__.rpartition(".")[2]


EVILS: list[Evil] = []


def caught_by(check: str, says: str, *also: str) -> Callable[[Any], Any]:
    """Plants a class, or a factory, into the zoo."""

    def plant(kind: Any) -> Any:
        make = factory(kind) if isinstance(kind, type) else kind
        EVILS.append(Evil(check, make, says, frozenset(also)))
        return kind

    return plant
