"""Zeros in the place of branches that are absent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

__all__ = ["with_zeros"]


def with_zeros(
    present: Mapping[str, Tensor], names: Sequence[str], widths: Sequence[int]
) -> list[Tensor]:
    """Gives one "b c_i ..." per branch in the order of ``names``: zeros where it is absent.

    Args:
        present: what the branches gave that are there, alike but for the width.
        names: all branches.
        widths: c_i of each.
    """
    like = next(iter(present.values()))
    # torch.export takes len(like) for a constant, and shape[0] for a batch of any size
    return [
        present[name] if name in present else like.new_zeros(like.shape[0], width, *like.shape[2:])
        for name, width in zip(names, widths, strict=True)
    ]
