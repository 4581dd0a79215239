"""``Augment``: how training samples are varied, as values that a file can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from fusionkit.errors import ConfigError, did_you_mean
from fusionkit.numbers import is_number

__all__ = ["Augment"]

SHARES = ("flip", "vertical_flip", "grayscale", "erase")
STRENGTHS = ("brightness", "contrast", "saturation")


@dataclass(frozen=True, slots=True)
class Augment:
    """How training samples are varied; ``Augment()`` is what most fine-tuning does.

    A sample is varied once for all branches and, where its inputs are ``registered``, for all
    inputs alike: they show the same part, turned and mirrored in the same way. What is drawn
    depends on seed, epoch and the sample's id alone.

    Attributes:
        crop: the least and greatest share of the picture's area that is shown (arXiv:1409.4842),
            resized to what each branch takes; ``None`` for the resize and centre crop of
            evaluation.
        ratio: the least and greatest width by height of that part.
        flip: how often left and right change places, in [0, 1].
        vertical_flip: how often top and bottom do.
        rotate: up to how many degrees the picture is turned, either way.
        brightness: b draws a factor in [1 - b, 1 + b]; of pictures with three channels, as are
            the next four.
        contrast: likewise.
        saturation: likewise.
        hue: h draws a shift in [-h, h], of a circle of length 1; at most 0.5.
        grayscale: how often colours go.
        erase: how often a rectangle is filled with the picture's mean (arXiv:1708.04896).
        erase_area: the least and greatest share of the area that it covers.
        registered: whether the inputs of a sample show the same scene, point by point.
    """

    crop: tuple[float, float] | None = (0.35, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    vertical_flip: float = 0.0
    rotate: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    grayscale: float = 0.0
    erase: float = 0.0
    erase_area: tuple[float, float] = (0.02, 0.33)
    registered: bool = True

    def __post_init__(self) -> None:
        for name in ("crop", "ratio", "erase_area"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.crop is not None:
            self._check_range("crop", 1.0)
        self._check_range("ratio", 100.0)
        self._check_range("erase_area", 1.0)
        for name in SHARES:
            self._check_number(name, 1.0, "how often it happens, in [0, 1]")
        for name in STRENGTHS:
            self._check_number(name, 1.0, "a strength in [0, 1]")
        self._check_number("hue", 0.5, "a shift in [0, 0.5]")
        self._check_number("rotate", 180.0, "a number of degrees in [0, 180]")
        if not isinstance(self.registered, bool):
            raise ConfigError(f"augment.registered is true or false, got {self.registered!r:.80}")

    @classmethod
    def none(cls) -> Augment:
        """Gives what varies nothing."""
        return cls(crop=None, flip=0.0)

    @classmethod
    def from_data(cls, data: object, where: str = "augment") -> Augment:
        """Gives the augmentation that a file describes.

        Args:
            data: a mapping of attributes, whose others are at their defaults; ``True`` for all
                defaults; ``None`` or ``False`` for no augmentation.
            where: it stands, for errors.

        Raises:
            ConfigError: names what is unknown or out of its range.
        """
        if data is None or data is False:
            return cls.none()
        if data is True:
            return cls()
        if not isinstance(data, Mapping):
            raise ConfigError(
                f"{where} must be true, false or a mapping such as {{flip: 0.5}}, got {data!r:.80}"
            )
        known = [field.name for field in fields(cls)]
        for name in data:
            if name not in known:
                raise ConfigError(
                    f"{where} has no option {name!r:.80}.{did_you_mean(str(name), known)} Its "
                    f"options are {', '.join(known)}"
                )
        return cls(**data)

    def to_data(self) -> dict[str, Any]:
        """Gives what ``from_data`` takes, as JSON and YAML hold it."""
        data = asdict(self)
        return {key: list(each) if isinstance(each, tuple) else each for key, each in data.items()}

    @property
    def is_random(self) -> bool:
        """Whether a sample looks different from epoch to epoch."""
        return self.crop is not None or any(
            getattr(self, name) for name in (*SHARES, *STRENGTHS, "hue", "rotate")
        )

    def _check_number(self, name: str, most: float, what: str) -> None:
        value = getattr(self, name)
        if not is_number(value) or not 0 <= value <= most:
            raise ConfigError(f"augment.{name} is {what}, got {value!r:.80}")

    def _check_range(self, name: str, most: float) -> None:
        value = getattr(self, name)
        good = isinstance(value, tuple) and len(value) == 2 and all(map(is_number, value))
        if not good or not 0 < value[0] <= value[1] <= most:
            raise ConfigError(
                f"augment.{name} is a pair [least, greatest] in (0, {most:g}], got {value!r:.80}"
            )
