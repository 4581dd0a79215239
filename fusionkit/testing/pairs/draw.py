"""What is put together, drawn at random and the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fusionkit.policy.freeze import Freeze
from fusionkit.policy.lr import LR
from fusionkit.recipe.values import Head

__all__ = ["Pair", "draw_pairs"]

NORMS = ("layer", "batch", "l2")

HEADS: dict[str, Mapping[str, Sequence[Any]]] = {
    "adaptive": {"joint": (True, False), "norm": NORMS},
    "attention_gate": {"width": (16,), "norm": NORMS},
    "attentional_fusion": {"iterative": (False, True), "width": (None, 12), "hidden": (None, 8)},
    "auxiliary": {"head": ("concat", "mmtm", "fusion_transformer")},
    "bilinear": {"project": (12,), "reads": ("vector", "maps")},
    "block": {"width": (24,), "chunks": (3,), "rank": (2,)},
    "bottleneck_transformer": {"width": (16,), "depth": (1, 2), "fuse_from": (0, 1)},
    "compact_bilinear": {"width": (64,), "reads": ("vector", "maps")},
    "concat": {"norm": NORMS, "project": (None, 12), "hidden": (None, 16)},
    "cross_attention": {"width": (16,), "depth": (1,), "read": ("auto", "vector")},
    "cross_class_attention": {"width": (16,), "depth": (1,)},
    "deep_sets": {"width": (16,), "phi": (16,), "pool": ("sum", "mean", "max")},
    "embrace": {"width": (16,), "weights": ("equal", "learned")},
    "film": {"width": (16,), "level": (None, -1)},
    "fusion_transformer": {"width": (16,), "depth": (1,), "position": (True, False)},
    "gated_multimodal": {"width": (16,), "tied": (True, False)},
    "greedy_selection": {},
    "low_rank_fusion": {"rank": (1, 4)},
    "majority_vote": {},
    "max_probabilities": {},
    "max_vectors": {"width": (16,), "norm": NORMS},
    "mean_log_probabilities": {"weights": ("equal", "learned")},
    "mean_logits": {"weights": ("equal", "learned"), "norm": ("layer", "l2", "none")},
    "mean_probabilities": {"temperature": (1.0, "learned"), "norm": ("layer", "batch")},
    "mean_vectors": {"width": (16,)},
    "mfb": {"width": (16,), "factors": (1, 3)},
    "mlb": {"width": (16,)},
    "mmtm": {"hidden": (None, 8)},
    "multi_level_fusion": {"width": (8,), "steps": (1, 3)},
    "multiplicative_interaction": {"project": (8,)},
    "mutan": {"project": (8,), "width": (16,), "rank": (1, 3)},
    "product_of_experts": {},
    "product_vectors": {"width": (16,)},
    "project_concat": {"hidden": (16,)},
    "pyramid_fusion": {"width": (8,)},
    "rank_vote": {},
    "squeeze_gate": {"project": (None, 12)},
    "stacking": {"hidden": (None, 8)},
    "sum_vectors": {"width": (16,)},
    "tensor_fusion": {"project": (8,), "hidden": (None, 8)},
    "two_stream": {"weights": ("equal", "learned")},
    "two_stream_maps": {"fusion": ("sum", "max", "concat", "conv"), "level": (-1, 0)},
}
"""fusionkit's own heads with options to choose from; a stranger's is taken without options."""

EPOCHS = 3


@dataclass(frozen=True, slots=True)
class Pair:
    """Two branches, a head and what is done with them.

    Attributes:
        seed: of its own, for weights and inputs.
        backbones: their names.
        head: with its options.
        freeze: of each branch.
        lr: of each branch.
        epoch: at which the training step is made.
    """

    seed: int
    backbones: tuple[str, str]
    head: Head
    freeze: tuple[Freeze, Freeze]
    lr: tuple[LR, LR]
    epoch: int = field(default=0)

    def __str__(self) -> str:
        policies = " / ".join(map(str, self.freeze))
        return (
            f"{' + '.join(self.backbones)}, {self.head}, {policies}, epoch {self.epoch}, "
            f"seed {self.seed}"
        )


def draw_pairs(backbones: Sequence[str], heads: Sequence[str], count: int, seed: int) -> list[Pair]:
    """Gives ``count`` pairs.

    Args:
        backbones: the names to draw from.
        heads: likewise.
        count: how many.
        seed: the same gives the same pairs.
    """
    known = sorted(backbones)
    return [_draw(known, sorted(heads), seed * 1_000_003 + index) for index in range(count)]


def _draw(backbones: list[str], heads: list[str], seed: int) -> Pair:
    choose = random.Random(seed)  # noqa: S311 - no secret depends on it
    return Pair(
        seed,
        (choose.choice(backbones), choose.choice(backbones)),
        _draw_head(choose, choose.choice(heads)),
        (_draw_freeze(choose), _draw_freeze(choose)),
        (_draw_lr(choose), _draw_lr(choose)),
        choose.randrange(EPOCHS),
    )


def _draw_head(choose: random.Random, name: str) -> Head:
    options = HEADS.get(name, {})
    chosen = {key: choose.choice(values) for key, values in options.items()}
    return Head(name, **{key: value for key, value in chosen.items() if value is not None})


def _draw_freeze(choose: random.Random) -> Freeze:
    modes: tuple[Literal["follow", "eval"], ...] = ("follow", "eval")
    norm, dropout = choose.choice(modes), choose.choice(modes)
    return choose.choice(
        (
            Freeze.all(),
            Freeze.none(norm=norm, dropout=dropout),
            Freeze.last(choose.randrange(1, 4), norm=norm),
            Freeze.only("norm", "bias"),
            Freeze.only("bias", dropout=dropout),
            Freeze.gradual(choose.randrange(3), every=choose.randrange(1, 3), norm=norm),
        )
    )


def _draw_lr(choose: random.Random) -> LR:
    return LR(
        choose.choice((0.01, 0.1, 1.0)),
        layer_decay=choose.choice((0.65, 0.9, 1.0)),
        weight_decay=choose.choice((None, 0.0, 0.05)),
        warmup=choose.choice((0, 1)),
        by=choose.choice(("stage", "block")),
    )
