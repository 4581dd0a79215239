"""The two pretrained backbones that ship along, and the ways to join them that are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import fusionkit as fk

__all__ = ["PREPARATION", "SOURCES", "WEIGHTS", "Contender", "Source", "branches", "contenders"]

WEIGHTS = Path(__file__).parent / "weights"
PREPARATION = fk.Preprocessing(size=(32, 32), mean=(0.3,), std=(0.35,))
"""How digits were prepared in pretraining: 8 x 8 grey pixels, enlarged fourfold."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a backbone comes from.

    Attributes:
        backbone: its name, ``provider/model``.
        file: its weights, below ``WEIGHTS``.
        options: of its provider's factory.
    """

    backbone: str
    file: str
    options: Mapping[str, int]


SOURCES = {
    "convnet": Source("torchvision/shufflenet_v2_x0_5", "shufflenet_v2_x0_5.safetensors", {}),
    "transformer": Source(
        "timm/test_vit", "test_vit.safetensors", {"img_size": 32, "patch_size": 8}
    ),
}


@dataclass(frozen=True, slots=True)
class Contender:
    """One line of the comparison.

    Attributes:
        title: as the table shows it.
        branches: by name.
        head: what joins them.
    """

    title: str
    branches: Mapping[str, fk.Branch]
    head: fk.Head


def branches(epochs: int) -> dict[str, fk.Branch]:
    """Gives both backbones with the policies that they have in every line of the comparison.

    The convnet stays frozen. The transformer thaws two stages at a time, from its last blocks
    after a fifth of the epochs to its stem after half of them; earlier stages learn more slowly.
    """
    policies = {
        "convnet": (fk.Freeze.all(), fk.LR()),
        "transformer": (
            fk.Freeze.gradual(start=max(1, epochs // 5), every=max(1, epochs // 10), stages=2),
            fk.LR(0.25, layer_decay=0.9, warmup=1),
        ),
    }
    return {
        name: fk.Branch(
            source.backbone,
            weights=WEIGHTS / source.file,
            in_channels=1,
            freeze=policies[name][0],
            lr=policies[name][1],
            preprocessing=PREPARATION,
            options=source.options,
        )
        for name, source in SOURCES.items()
    }


def contenders(epochs: int) -> list[Contender]:
    """Gives what the demo compares: each branch alone, their average, their concatenation."""
    both = branches(epochs)
    convnet, transformer = both["convnet"], both["transformer"]
    # Vectors of length 1 hold the head back: on larger ones it fits these few labels with the
    # frozen branch's 1,024 features alone, and leaves the thawing branch nothing to learn from.
    concat = fk.Head("concat", norm="l2")
    average = fk.Head("mean_probabilities", norm="l2")
    return [
        Contender("convnet alone, frozen", {"convnet": convnet}, concat),
        Contender("transformer alone, thawed", {"transformer": transformer}, concat),
        Contender("average of both", both, average),
        Contender("concatenation of both", both, concat),
    ]
