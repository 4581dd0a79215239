"""``BranchTokens``: the maps or vectors of all branches as tokens of one width."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fusionkit import ConfigError, Features, HeadInput, Reads
from fusionkit.heads.parts.levels import find_level, read_levels
from fusionkit.heads.parts.maps import map_block
from fusionkit.heads.parts.norms import vector_norm
from fusionkit.heads.parts.options import check_choice, check_flag, check_width, per_branch

__all__ = ["BranchTokens", "ClassToken", "sine_positions"]


@final
class BranchTokens(nn.Module):
    """Gives tokens "b t_i c" by branch, in alphabetical order of the branches.

    A map "b c h w" gives a token for each place, a vector gives one. The bias of a branch's
    linear layer is its learned embedding, which tells its tokens from another's.

    Args:
        inputs: what the branches offer.
        width: the width c to which a linear layer brings each branch's tokens.
        read: ``"maps"``, ``"vector"``, or ``"auto"``, maps where a branch has them; one for all
            or by branch.
        level: which of a branch's levels is read, -1 the coarsest; one for all or by branch.
        norm: of maps ``"layer"`` or ``"none"``, of vectors see ``norms.vector_norm``; one for
            all or by branch.
        side: larger maps are averaged down to at most so many places in height and in width;
            ``None`` keeps them.
        position: whether tokens of maps are told where they come from, see ``sine_positions``.

    Attributes:
        names: the branches, in the order of what ``forward`` gives.
        reads: what is read of each.
        width: c.
    """

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        width: int,
        read: Any = "auto",
        level: Any = -1,
        norm: Any = "layer",
        side: int | None = 7,
        position: bool = True,
    ) -> None:
        super().__init__()
        self.names = tuple(sorted(inputs))
        self.width = check_width("width", width)
        side = None if side is None else check_width("side", side)
        sources = per_branch("read", read, self.names, missing="auto")
        levels = per_branch("level", level, self.names, missing=-1)
        norms = per_branch("norm", norm, self.names, missing="layer")
        self.reads: dict[str, Reads] = {}
        self.blocks = nn.ModuleDict()
        for name in self.names:
            given = inputs[name]
            source = check_choice("read", sources[name], ("auto", "maps", "vector"))
            if source == "maps" or (source == "auto" and given.levels):
                index = find_level(name, given, levels[name])
                self.reads |= read_levels({name: [index]})
                channels = given.levels[index].channels
                self.blocks[name] = _MapTokens(channels, width, norms[name], side, position)
            else:
                if isinstance(level, Mapping) and name in level:
                    raise ConfigError(
                        f"option level: branch {name!r} is read by its vector, which has no "
                        f"levels; leave it out, or write read={{{name!r}: 'maps'}}"
                    )
                self.reads[name] = Reads(vector=True)
                self.blocks[name] = _VectorTokens(given.embed_dim, width, norms[name], name)

    def forward(self, features: Mapping[str, Features]) -> dict[str, Tensor]:
        """Gives the tokens of the branches that are present, whatever their order."""
        present = [name for name in self.names if name in features]
        return {name: self.blocks[name](features[name]) for name in present}

    def extra_repr(self) -> str:
        """Says what is read of each branch."""
        return "tokens of " + ", ".join(
            f"{name} (level {reads.levels[0]})" if reads.maps else f"{name} (vector)"
            for name, reads in self.reads.items()
        )


@final
class _MapTokens(nn.Module):
    """Gives a token for each place of a map."""

    def __init__(
        self, channels: int, width: int, norm: object, side: int | None, position: object
    ) -> None:
        super().__init__()
        self.position = check_flag("position", position)
        if self.position and width % 4:
            raise ConfigError(
                f"option width: positions have a sine and a cosine for height and for width, so "
                f"it is a multiple of 4, got {width}; or write position=False"
            )
        self.side = side
        self.norm = map_block(norm, channels, None)
        self.linear = nn.Linear(channels, width)

    def forward(self, feature: Features) -> Tensor:
        x = feature.maps[0]
        height, width = x.shape[-2:]
        if self.side is not None and max(height, width) > self.side:
            height, width = min(height, self.side), min(width, self.side)
            x = F.adaptive_avg_pool2d(x, (height, width))
        # Of strided rows, torch's kernel and so the last bit depend on whether the layer learns.
        rows = self.norm(x).flatten(2).transpose(1, 2).contiguous()
        tokens: Tensor = self.linear(rows)
        return tokens + sine_positions(height, width, tokens) if self.position else tokens


@final
class _VectorTokens(nn.Module):
    """Gives a vector as one token."""

    def __init__(self, embed_dim: int, width: int, norm: object, branch: str) -> None:
        super().__init__()
        self.norm = vector_norm(norm, embed_dim, branch)
        self.linear = nn.Linear(embed_dim, width)

    def forward(self, feature: Features) -> Tensor:
        token: Tensor = self.linear(self.norm(feature.vector))
        return token[:, None]


@final
class ClassToken(nn.Module):
    """Puts a learned token in front of tokens "b t c" (Devlin et al., arXiv:1810.04805)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.empty(1, 1, width))
        nn.init.normal_(self.token, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Gives "b 1+t c"."""
        return torch.cat([self.token.expand(tokens.shape[0], -1, -1), tokens], dim=1)


def sine_positions(height: int, width: int, like: Tensor) -> Tensor:
    """Gives "(h w) c", sines and cosines of each place's height, then of its width.

    Places are parts of the whole picture, so that the same corner has the same position in maps
    of different sizes: one picture is 2 pi long (Carion et al., arXiv:2005.12872).

    Args:
        height: h.
        width: w.
        like: tokens "b t c" whose width, device and type are taken; c is a multiple of 4.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)  # halves know few places apart

    def count(stop: int) -> Tensor:
        return torch.arange(stop, device=like.device, dtype=dtype)

    def waves(places: int) -> Tensor:
        angles = (2 * math.pi * (count(places) + 0.5) / places)[:, None] * rates
        return torch.cat([angles.sin(), angles.cos()], dim=-1)

    quarter = like.shape[-1] // 4
    rates = 10_000 ** (-count(quarter) / quarter)
    rows = waves(height)[:, None].expand(-1, width, -1)
    columns = waves(width)[None].expand(height, -1, -1)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1).to(like.dtype)
