"""Backbones that break a promise of what comes out, or of eval mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from sound_backbone import WIDTH, Sound, caught_by
from torch import Tensor
from torch.nn import functional

import fusionkit as fk

# What comes out


@caught_by("vector_is_as_declared", "embed_dim is 32")
class WrongWidth(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.embed_dim = 32


@caught_by("vector_is_as_declared", "gives a vector of (2, 16, 1, 1)")
class Unpooled(Sound):
    def pool(self, x: Tensor) -> Tensor:
        return super().pool(x)[..., None, None]

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        features = super().forward(x, fk.Reads(vector=reads.vector, maps=reads.maps))
        if not reads.logits:
            return features
        return features._replace(logits=self.fc(super().pool(self.trunk(x)[-1])))


@caught_by("vector_is_as_declared", "values of the vector are not finite")
class NotANumber(Sound):
    def pool(self, x: Tensor) -> Tensor:
        holes = torch.arange(WIDTH) < 3
        return super().pool(x).masked_fill(holes.to(x.device), float("nan"))

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        features = super().forward(x, reads)
        logits = features.logits
        return features._replace(logits=None if logits is None else logits.nan_to_num())


@caught_by("vector_is_as_declared", "images that are zero throughout")
class Standardises(Sound):
    def trunk(self, x: Tensor) -> list[Tensor]:
        mean, deviation = x.mean((1, 2, 3), keepdim=True), x.std((1, 2, 3), keepdim=True)
        return super().trunk((x - mean) / deviation)


def _turned(*order: int) -> Callable[[Tensor], Tensor]:
    return lambda value: value.permute(*order)


class _MapsOtherwise(Sound):
    turn: Callable[[Tensor], Tensor]

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        features = super().forward(x, reads)
        return features._replace(maps=tuple(type(self).turn(value) for value in features.maps))


@caught_by("levels_are_as_declared", "with the channels last")
class ChannelsLast(_MapsOtherwise):
    turn = staticmethod(_turned(0, 2, 3, 1))


@caught_by("levels_are_as_declared", "which are tokens")
class UnfoldedTokens(_MapsOtherwise):
    turn = staticmethod(lambda value: value.flatten(2).mT)


@caught_by("levels_are_as_declared", "at height 64 and 64 pixels its maps have height 32 and 48")
class HeightForWidth(_MapsOtherwise):
    turn = staticmethod(_turned(0, 1, 3, 2))


@caught_by("levels_are_as_declared", "at height 64 and 64 pixels its maps have height 32 and 48")
class HeightForWidthOfSmallImages(HeightForWidth):
    """Its own images are as small as any that are tried, so that larger ones must tell."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.preprocessing = fk.Preprocessing(size=(64, 64)).for_channels(self.in_channels)


@caught_by("levels_are_as_declared", "level 2 declares stride 16")
class WrongStride(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.levels = (*self.levels[:2], fk.Level(WIDTH, 16))


@caught_by("levels_are_as_declared", "level 1 declares 24 channels and gives (2, 16")
class WrongChannels(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.levels = (self.levels[0], fk.Level(24, 4), self.levels[2])


@caught_by("levels_are_as_declared", "the levels' strides are [8, 4, 2]")
class CoarseToFine(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.levels = self.levels[::-1]

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        maps = self.trunk(x)[::-1]
        features = super().forward(x, fk.Reads(vector=reads.vector, logits=reads.logits))
        return features._replace(maps=tuple(maps[level] for level in reads.levels))


@caught_by("levels_are_as_declared", "3 levels are declared and were read, 2 maps came")
class OneMapLess(Sound):
    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        features = super().forward(x, reads)
        return features._replace(maps=features.maps[:2])


@caught_by("levels_are_as_declared", "at width 64 and 96 pixels its maps have width 32 and 32")
class FixedGrid(Sound):
    """Folds tokens by the grid of its usual size."""

    def trunk(self, x: Tensor) -> list[Tensor]:
        return [functional.adaptive_avg_pool2d(m, 32 >> i) for i, m in enumerate(super().trunk(x))]


@caught_by("only_what_is_read_comes", "Reads(maps=(0, 2)) gives also a vector")
class AlwaysAVector(Sound):
    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        if reads.logits:
            return super().forward(x, reads)
        return super().forward(x, fk.Reads(vector=True, maps=reads.maps))


@caught_by("only_what_is_read_comes", "Reads(vector=True) gives also 3 maps")
class AlwaysAllMaps(Sound):
    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        if reads.logits:
            return super().forward(x, reads)
        return super().forward(x, fk.Reads(reads.vector, (0, 1, 2)))


@caught_by("only_what_is_read_comes", "Reads(maps=(2,)): the map of level 2 is")
class CountsMapsFromTheFinest(Sound):
    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        features = super().forward(x, fk.Reads(reads.vector, (0, 1, 2), reads.logits))
        return features._replace(maps=features.maps[: len(reads.levels)])


@caught_by("only_what_is_read_comes", "Reads(vector=True): the vector differs",
           "classifier_is_kept_on_request")  # fmt: skip
class VectorDependsOnReads(Sound):
    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        features = super().forward(x, reads)
        if features.vector is None or not reads.maps:
            return features
        return features._replace(vector=functional.normalize(features.vector))


@caught_by("only_what_is_read_comes", "Reads(maps=(1,)): the map of level 1 differs")
class OverwritesAKeptMap(Sound):
    """What comes after the map changes it, if anything comes after."""

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        features = super().forward(x, reads)
        if 1 not in reads.levels or (reads.levels == (1,) and not reads.vector):
            return features
        at = reads.levels.index(1)
        maps = (*features.maps[:at], features.maps[at].relu(), *features.maps[at + 1 :])
        return features._replace(maps=maps)


# Eval mode


@caught_by("eval_is_deterministic", "run again on the same input, the vector differs")
class DropsInEval(Sound):
    def pool(self, x: Tensor) -> Tensor:
        return functional.dropout(super().pool(x), 0.5)


@caught_by("eval_is_deterministic", "draws random numbers from torch")
class DrawsForNothing(Sound):
    def pool(self, x: Tensor) -> Tensor:
        torch.rand(1)
        return super().pool(x)


@caught_by("eval_has_no_side_effects", "changes buffers of seen")
class CountsInEval(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.register_buffer("seen", torch.zeros(()))

    def pool(self, x: Tensor) -> Tensor:
        self.seen += 1
        return super().pool(x)


@caught_by("eval_has_no_side_effects", "changes its input in place", "training_gives_the_same_form")
class ChangesItsInput(Sound):
    def trunk(self, x: Tensor) -> list[Tensor]:
        return super().trunk(x.sub_(0.1))


@caught_by("eval_has_no_side_effects", "after other inputs and reads, the vector differs")
class KeepsTheLargestSize(Sound):
    largest = 0

    def pool(self, x: Tensor) -> Tensor:
        self.largest = max(self.largest, x.shape[-1])
        return super().pool(x) * self.largest

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        return (
            super()
            .forward(x, fk.Reads(True, reads.maps, reads.logits))
            ._replace(**({} if reads.vector else {"vector": None}))
        )


@caught_by("eval_has_no_side_effects", "pixels, after 128 x 128, the vector differs")
class KeepsPlacesByTheirNumber(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.places: dict[int, list[float]] = {}

    def pool(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        if height * width not in self.places:
            places = [row + 2.0 * column for row in range(height) for column in range(width)]
            self.places[height * width] = places
        weights = torch.tensor(self.places[height * width]).softmax(0).to(x)
        return self.top(self.drop(x.flatten(2) @ weights))


@caught_by("eval_has_no_side_effects", "Inference tensors cannot be saved for backward")
class KeepsWhatInferenceMade(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.windows: dict[torch.device, Tensor] = {}

    def pool(self, x: Tensor) -> Tensor:
        if x.device not in self.windows:
            self.windows[x.device] = torch.linspace(0.5, 1.5, WIDTH, device=x.device)
        return super().pool(x) * self.windows[x.device].to(x)


@caught_by(
    "eval_has_no_side_effects", "changes training modes of drop", "training_gives_the_same_form"
)
class WakesItsDropout(Sound):
    def trunk(self, x: Tensor) -> list[Tensor]:
        maps = super().trunk(x)
        self.drop.train().eval().requires_grad_(True)
        self.drop.training = maps[0].shape[0] == 3
        return maps


@caught_by("eval_has_no_side_effects", "changes requires_grad of top.weight")
class FreezesItself(Sound):
    def trunk(self, x: Tensor) -> list[Tensor]:
        if not self.training:
            self.top.weight.requires_grad_(False)
        return super().trunk(x)


@caught_by("vector_is_as_declared", "the vector is float64")
class WeighsInDoubles(Sound):
    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        found = super().forward(x, reads)
        if found.vector is None:
            return found
        window = torch.linspace(0.5, 1.5, WIDTH, dtype=torch.float64, device=x.device)
        return found._replace(vector=found.vector * window)


@caught_by("vector_is_as_declared", "asked under torch.no_grad(), the vector has a gradient")
class SwitchesGradientsOn(Sound):
    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        with torch.enable_grad():
            return super().forward(x, reads)


@caught_by("training_gives_the_same_form", "changes the modes of stem.1")
class QuietsItsNorm(Sound):
    def trunk(self, x: Tensor) -> list[Tensor]:
        self.stem[1].eval()
        return super().trunk(x)


@caught_by("training_gives_the_same_form", "in train mode forward changes its input in place")
class ChangesItsInputInTraining(Sound):
    def trunk(self, x: Tensor) -> list[Tensor]:
        return super().trunk(x.mul_(1.1) if self.training else x)


@caught_by("other_channel_counts_work", "built for 1 channels, stem.0.weight is for 3")
class RepeatsGrey(Sound):
    def __init__(self, in_channels: int = 3, num_classes: int | None = None) -> None:
        super().__init__(3 if in_channels == 1 else in_channels, num_classes)
        self.in_channels = in_channels
        self.preprocessing = fk.Preprocessing(size=(96, 96)).for_channels(in_channels)

    def trunk(self, x: Tensor) -> list[Tensor]:
        return super().trunk(x.expand(-1, 3, -1, -1) if self.in_channels == 1 else x)
