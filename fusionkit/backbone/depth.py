"""The words for depth: stages of parameters, and levels of maps."""

from __future__ import annotations

from dataclasses import dataclass

from fusionkit.errors import AssemblyError

__all__ = ["Level", "Stage"]


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution at which a backbone gives maps "b c h w".

    Attributes:
        channels: the width c of the maps.
        stride: input pixels per map pixel, so that h is about the input height / stride.
    """

    channels: int
    stride: int


@dataclass(frozen=True, slots=True, init=False)
class Stage:
    """A named slice of a backbone's parameters, made of blocks in the order in which they run.

    A block is named by the modules or parameters that it is made of, by their paths inside the
    trunk: ``Stage("layer1", "layer1.0", "layer1.1")`` has two blocks, and
    ``Stage("stem", ("conv1", "bn1"))`` one block of two modules. Without blocks the stage is one
    block, the module of its own name.

    Attributes:
        name: unique in its backbone, without a slash; what ``Freeze.until`` takes.
        blocks: the paths of each block.

    Raises:
        AssemblyError: the name is empty or has a slash, or a block is empty.
    """

    name: str
    blocks: tuple[tuple[str, ...], ...]

    def __init__(self, name: str, *blocks: str | tuple[str, ...]) -> None:
        paths = tuple((block,) if isinstance(block, str) else tuple(block) for block in blocks)
        if not name or "/" in name:
            raise AssemblyError(f"a stage's name is not empty and has no slash, got {name!r}")
        if any(not block or not all(block) for block in paths):
            raise AssemblyError(f"stage {name!r} has a block without modules or parameters")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "blocks", paths or ((name,),))

    def __repr__(self) -> str:
        if self.blocks == ((self.name,),):
            return f"Stage({self.name!r})"
        blocks = (block[0] if len(block) == 1 else block for block in self.blocks)
        return f"Stage({self.name!r}, {', '.join(map(repr, blocks))})"
