"""A provider of small models, some of which take down the process that they run in."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from functools import partial

import torch
from torch import nn

import fusionkit as fk


class Rough(fk.Backbone):
    def __init__(self, in_channels: int, deed: str) -> None:
        super().__init__()
        self.in_channels, self.embed_dim, self.deed = in_channels, 8, deed
        self.stages = (fk.Stage("stem"), fk.Stage("body"))
        self.stem = nn.Conv2d(in_channels, 8, 3, stride=2)
        self.body = nn.Conv2d(8, 8, 3, stride=2)

    def forward(self, x: torch.Tensor, reads: fk.Reads) -> fk.Features:
        if not x.is_meta or self.deed.endswith("always"):
            self.do()
        if self.deed == "wrong":
            raise RuntimeError("planted in the forward pass")
        return fk.Features(vector=self.body(self.stem(x).relu()).mean((2, 3)))

    def do(self) -> None:
        if self.deed.startswith("crash"):
            ctypes.string_at(1)
        if self.deed.startswith("killed"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.deed.startswith("sleep"):
            time.sleep(600)
        held = []
        while self.deed.startswith("hog"):
            held.append(b"x" * 2**24)
            time.sleep(0.005)


def build(deed: str, *, in_channels: int, weights: str | None, num_classes: int | None) -> Rough:
    return Rough(in_channels, deed)


@fk.hookimpl
def fusionkit_backbones():
    deeds = ("good", "wrong", "crash", "sleep", "hog", "hog_always", "killed")
    return {f"{deed}_net": partial(build, deed) for deed in deeds}
