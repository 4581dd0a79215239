"""``Preparation``: which input a branch reads, and how it was prepared when it was trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fusionkit.data.geometry import Geometry
from fusionkit.errors import ConfigError
from fusionkit.numbers import is_count
from fusionkit.preprocessing import Preprocessing

__all__ = ["Preparation", "preparations_of"]


@dataclass(frozen=True, slots=True)
class Preparation:
    """What becomes of one input for one branch.

    Attributes:
        input: its name.
        preprocessing: how the branch was trained; ``None`` where it takes no images.
        channels: of the picture that the branch reads.
        inside: whether the model normalises by itself, so that the loader only resizes.
        exact: whether resizing gives PIL's own pixels, or almost these in less time.
        encode: what turns a text into a mapping of tensors "n", where the branch takes texts.
    """

    input: str = "image"
    preprocessing: Preprocessing | None = None
    channels: int = 3
    inside: bool = False
    exact: bool = True
    encode: Callable[[str], Any] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not is_count(self.channels):
            raise ConfigError(f"channels must be at least 1, got {self.channels!r:.80}")
        if self.preprocessing is not None:
            adapted = self.preprocessing.for_channels(self.channels)
            object.__setattr__(self, "preprocessing", adapted)

    @property
    def geometry(self) -> Geometry | None:
        """Where pixels go; ``None`` where the input is handed on as it is."""
        if self.preprocessing is None:
            return None
        geometry = Geometry.of(self.preprocessing, exact=self.exact)
        if not self.inside:
            return geometry
        # The model's own resize then finds nothing to do, and its crop takes the same pixels.
        square = geometry.resize
        side = (square, square) if isinstance(square, int) else square
        return replace(geometry, size=side, inner=geometry.size)


def preparations_of(model: Any) -> dict[str, Preparation]:
    """Gives the preparation of each branch of a model.

    Args:
        model: a ``FusedModel``, or the mapping of ``Preparation`` or ``Preprocessing`` by branch
            that is wanted, which is checked and completed.

    Raises:
        ConfigError: it is not known how a branch's inputs are prepared, or it cannot be done.
    """
    if isinstance(model, Mapping):
        return {str(name): _as_preparation(name, value) for name, value in model.items()}
    if not hasattr(model, "parts") or not hasattr(model, "branches"):
        raise ConfigError(
            "preparations come from a model, or a mapping of branch to Preparation, got "
            f"{type(model).__name__}"
        )
    inside = model.recipe.preprocess == "inside"
    found = {}
    for name, part in model.parts.items():
        backbone, branch = model.branches[name], part.branch
        preprocessing = backbone.preprocessing if backbone.takes_images else None
        if preprocessing is None and backbone.takes_images:
            raise ConfigError(
                f"branch {name!r}: it is not known how its inputs are prepared; give "
                "Branch(preprocessing=...)"
            )
        if inside and preprocessing is not None:
            _check_inside(name, preprocessing)
        found[name] = Preparation(
            branch.input, preprocessing, backbone.in_channels, inside, encode=backbone.encode
        )
    return found


def _check_inside(name: str, preprocessing: Preprocessing) -> None:
    resize = preprocessing.resize
    if isinstance(resize, int) and resize < max(preprocessing.size):
        raise ConfigError(
            f"branch {name!r} is resized to {resize} pixels and then padded to "
            f"{preprocessing.size[0]} x {preprocessing.size[1]}; images of one size for that "
            "cannot be made beforehand: compose with preprocess='outside'"
        )


def _as_preparation(name: object, value: object) -> Preparation:
    if isinstance(value, Preparation):
        return value
    if isinstance(value, Preprocessing):
        return Preparation(preprocessing=value, channels=len(value.mean))
    raise ConfigError(
        f"branch {name!r}: a preparation is a Preparation or a Preprocessing, got {value!r:.120}"
    )
