"""From one sample to what each branch takes of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from fusionkit.data.arrays import as_tensor, read_array
from fusionkit.data.augment import Augment
from fusionkit.data.decoding import MAX_PIXELS, decode, measure_picture
from fusionkit.data.geometry import Geometry
from fusionkit.data.picture import picture_size
from fusionkit.data.preparation import preparations_of
from fusionkit.data.sample import Sample
from fusionkit.data.variation import Variation, draw_variation
from fusionkit.data.walk import ARRAYS
from fusionkit.errors import ConfigError, DataError, did_you_mean
from fusionkit.numbers import is_count

if TYPE_CHECKING:
    from fusionkit.data.decoding import Picture

__all__ = ["Broken", "Prepare", "skips"]

Broken = Literal["stop", "skip"]

SAME_SHAPE = 0.02
"""By how much the shapes of registered inputs may differ, for the sake of rounded sides."""


class Prepare:
    """Decodes each input of a sample once, varies it, and resizes it once for each geometry.

    Attributes:
        preparations: by branch.
        augment: how samples are varied; ``None`` for not at all.
        seed: of what is drawn.
        encoders: by input name, what turns a text into tensors.

    Args:
        model: a ``FusedModel``, or a mapping of ``Preparation`` or ``Preprocessing`` by branch.
        augment: how samples are varied; ``None`` for not at all.
        seed: of the run.
        max_pixels: of an image.
        exact: whether an image is resized to PIL's own pixels, or to almost these in less time.
        encoders: by input name, what turns a text into tensors; by default the branch's own.

    Raises:
        ConfigError: an argument is of another kind.
    """

    def __init__(
        self,
        model: Any,
        *,
        augment: Augment | None = None,
        seed: int = 0,
        max_pixels: int = MAX_PIXELS,
        exact: bool = True,
        encoders: Mapping[str, Callable[[str], Any]] | None = None,
    ) -> None:
        found = preparations_of(model)
        self.preparations = (
            found if exact else {name: replace(each, exact=False) for name, each in found.items()}
        )
        if augment is not None and not isinstance(augment, Augment):
            raise ConfigError(f"augment must be an Augment, got {augment!r:.120}")
        if not is_count(max_pixels):
            raise ConfigError(f"max_pixels must be at least 1, got {max_pixels!r:.80}")
        self.augment = augment if augment is not None and augment.is_random else None
        self.seed = seed
        self._max_pixels = max_pixels
        self.encoders = dict(encoders or {})
        # Branches of one key share a tensor; those of one input and channel count a decode.
        self._plan: dict[tuple[str, int], dict[Geometry, list[str]]] = {}
        self._as_they_are: list[tuple[str, str]] = []
        for name, each in self.preparations.items():
            if (geometry := each.geometry) is None:
                self._as_they_are.append((name, each.input))
            else:
                resizes = self._plan.setdefault((each.input, each.channels), {})
                resizes.setdefault(geometry, []).append(name)
        # The input whose shape all registered ones are varied by, whoever is decoded with it.
        self._leading = next(iter(self._plan), None)

    def check_inputs(self, names: Sequence[str]) -> None:
        """Refuses samples that lack what a branch reads.

        Args:
            names: of the inputs that samples have.

        Raises:
            ConfigError: names the branch and its input.
        """
        for branch, each in self.preparations.items():
            if each.input not in names:
                raise ConfigError(
                    f"branch {branch!r} reads the input {each.input!r}, but the samples have "
                    f"{', '.join(map(repr, names))}.{did_you_mean(each.input, names)}"
                )

    def only(self, branches: Collection[str]) -> Prepare:
        """Gives the same for some branches alone, so that what only others read is not decoded.

        Registered inputs are varied as they are with all branches: of the first input of all, at
        most the size is read.
        """
        narrow = Prepare(
            {name: each for name, each in self.preparations.items() if name in branches},
            augment=self.augment,
            seed=self.seed,
            max_pixels=self._max_pixels,
            encoders=self.encoders,
        )
        narrow._leading = self._leading
        return narrow

    def __call__(self, sample: Sample, epoch: int = 0) -> dict[str, Any]:
        """Gives by branch "c h w" of uint8 or raw floats, or what else it takes.

        Raises:
            DataError: an input is missing, or cannot be read.
        """
        prepared: dict[str, Any] = {}
        for name, source in self._as_they_are:
            prepared[name] = self._hand_on(name, source, _input(sample, source))
        pictures = {
            (source, channels): decode(_input(sample, source), channels, self._max_pixels)
            for source, channels in self._plan
        }
        variations = self._variations(sample, pictures, epoch)
        for key, resizes in self._plan.items():
            variation = variations.get(key[0])
            picture = pictures[key]
            if variation is not None:
                picture = variation.apply(picture)
            for geometry, names in resizes.items():
                image = _prepare(picture, geometry, variation)
                prepared.update(dict.fromkeys(names, image))
        return {name: prepared[name] for name in self.preparations}

    def _variations(
        self, sample: Sample, pictures: Mapping[tuple[str, int], Picture], epoch: int
    ) -> dict[str, Variation]:
        if self.augment is None or not pictures:
            return {}
        sizes = {name: picture_size(picture) for (name, _), picture in pictures.items()}

        def draw(size: tuple[int, int], key: str) -> Variation:
            assert self.augment is not None
            return draw_variation(self.augment, *size, seed=self.seed, epoch=epoch, key=key)

        if not self.augment.registered:
            return {name: draw(size, f"{sample.id}\0{name}") for name, size in sizes.items()}
        first, lead = self._lead(sample, sizes)
        for name, (height, width) in sizes.items():
            if abs(width / height / (lead[1] / lead[0]) - 1) > SAME_SHAPE:
                raise DataError(
                    f"the inputs {first!r} ({lead[1]} x {lead[0]} "
                    f"pixels) and {name!r} ({width} x {height}) differ in shape, so they do not "
                    "show the same scene point by point; write registered=False, and each is "
                    "varied by itself"
                )
        return dict.fromkeys(sizes, draw(lead, sample.id))

    def _lead(
        self, sample: Sample, sizes: Mapping[str, tuple[int, int]]
    ) -> tuple[str, tuple[int, int]]:
        """Gives the input that registered ones follow, and its height and width."""
        assert self._leading is not None
        name, channels = self._leading
        if name not in sizes:
            try:
                source = _input(sample, name)
                return name, measure_picture(source, channels, self._max_pixels)
            except DataError:
                # With all branches the sample would be broken: nothing is there to agree with.
                name = next(iter(sizes))
        return name, sizes[name]

    def _hand_on(self, branch: str, name: str, value: Any) -> Any:
        """Gives an input of a branch that takes no images."""
        if isinstance(value, str):
            encode = self.encoders.get(name) or self.preparations[branch].encode
            return value if encode is None else encode(value)
        if isinstance(value, Path):
            if value.suffix.lower() not in ARRAYS:
                raise DataError(
                    f"{value} is for a branch that takes no images: it reads .npy and .safetensors "
                    f"files, or texts (texts=({name!r},) where the manifest holds them)"
                )
            return read_array(value)
        if isinstance(value, (Tensor, Mapping)):
            return value
        return as_tensor(value, f"the input {name!r}")


def skips(broken: Broken) -> bool:
    """Tells whether samples that cannot be read are left out.

    Raises:
        ConfigError: it is neither ``"stop"`` nor ``"skip"``.
    """
    if broken not in ("stop", "skip"):
        raise ConfigError(f"broken is 'stop' or 'skip', got {broken!r:.80}")
    return broken == "skip"


def _input(sample: Sample, name: str) -> Any:
    try:
        return sample.inputs[name]
    except KeyError:
        raise DataError(f"it has no input {name!r}") from None


def _prepare(picture: Picture, geometry: Geometry, variation: Variation | None) -> Tensor:
    if variation is None:
        return geometry.evaluate(picture)
    shown = geometry.squeeze(picture) if variation.box else geometry.evaluate(picture)
    return variation.erase(shown)
