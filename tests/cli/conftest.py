"""A catalog of toys for every command, and a way to run one."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import fusionkit as fk
from fusionkit.cli import main as cli


class Toy(fk.Backbone):
    """Two stages of which one has two blocks."""

    def __init__(self, declare: bool = True) -> None:
        super().__init__()
        self.embed_dim = 8
        self.levels = (fk.Level(4, 2), fk.Level(8, 4))
        self.preprocessing = fk.Preprocessing(size=(32, 32), resize=36, interpolation="bicubic")
        if declare:
            self.stages = (fk.Stage("stem"), fk.Stage("body", "body.0", "body.1"))
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.body = nn.Sequential(nn.Conv2d(4, 8, 3, stride=2, padding=1), nn.Conv2d(8, 8, 1))

    def forward(self, x, reads):
        return fk.Features(vector=self.body(self.stem(x)).mean((2, 3)))


def build_toy(*, in_channels, weights, num_classes):
    assert (in_channels, weights, num_classes) == (3, None, None)
    return Toy()


build_toy.available_weights = ("tag_a", "tag_b")


def build_picky(*, in_channels, weights, num_classes):
    """Computes with a number, which no meta tensor has, and leaves its stages to be measured."""
    assert torch.linspace(0, 1, 3)[1].item() == 0.5
    return Toy(declare=False)


def build_broken(*, in_channels, weights, num_classes):
    raise ValueError("no such layer")


class ToyHead(fk.FusionHead):
    """Joins the vectors in a toy way.

    It has two paragraphs that are
    broken over lines.

    Args:
        inputs: what the branches offer.
        num_classes: the width.
        hidden: the width of ``one`` layer,
            in numbers.

    Raises:
        ConfigError: never.
    """

    def __init__(self, inputs, *, num_classes: int, hidden: int | None = None, must: str) -> None:
        super().__init__()

    def forward(self, features): ...


BACKBONES = {"net": build_toy, "picky": build_picky, "broken": build_broken, "both": build_toy}


@pytest.fixture
def catalog(monkeypatch) -> fk.Catalog:
    """Gives a catalog of toys, which the commands see as the installed one."""
    toys = SimpleNamespace(
        __version__="1.5",
        fusionkit_backbones=fk.hookimpl(lambda: BACKBONES),
        fusionkit_heads=fk.hookimpl(lambda: {"tower": ToyHead, "both": ToyHead}),
    )
    own = SimpleNamespace(fusionkit_heads=fk.hookimpl(lambda: {"join": ToyHead}))
    catalog = fk.Catalog().with_plugin("toys", toys).with_plugin("heads", own)
    monkeypatch.setattr(fk.Catalog, "installed", classmethod(lambda cls: catalog))
    return catalog


class Terminal(io.StringIO):
    """Says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def at_terminal(monkeypatch) -> Callable[..., str]:
    """Gives a function that runs a command at a terminal of 80 columns and gives its output."""

    def run(*arguments: str) -> str:
        out = Terminal()
        with monkeypatch.context() as patch:
            patch.setenv("COLUMNS", "80")
            patch.setenv("NO_COLOR", "1")
            patch.setenv("TERM", "xterm")
            patch.setattr("sys.stdout", out)
            with pytest.raises(SystemExit) as caught:
                cli.run(arguments)
        assert caught.value.code == 0
        plain = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
        lines = [line.rstrip() for line in plain.splitlines()]
        assert all(len(line) <= 80 for line in lines)
        return "\n".join(lines) + "\n"

    return run


@pytest.fixture
def piped(capsys) -> Callable[..., tuple[int, str, str]]:
    """Gives a function that runs a command into a pipe and gives its code, output and errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            cli.run(arguments)
        out, err = capsys.readouterr()
        return caught.value.code, out, err

    return run
