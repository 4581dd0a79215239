"""A sound small backbone, and many that break one promise of the forward pass each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import fusionkit as fk

WIDTH = 16


class Sound(fk.Backbone):
    """A convnet with a norm, dropout and a classifier of five classes; it keeps every promise."""

    def __init__(self, in_channels: int = 3, num_classes: int | None = None) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.num_classes = num_classes if num_classes == 5 else None
        self.embed_dim = WIDTH
        self.levels = (fk.Level(8, 2), fk.Level(WIDTH, 4), fk.Level(WIDTH, 8))
        self.first_layers = ("stem.0.weight",)
        self.preprocessing = fk.Preprocessing(size=(96, 96)).for_channels(in_channels)
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.Hardswish()
        )
        self.body = nn.Sequential(self.layer(8), self.layer(WIDTH))
        self.drop = nn.Dropout(0.2)
        self.top = nn.Linear(WIDTH, WIDTH)
        self.stages = (fk.Stage("stem"), fk.Stage("body", "body.0", "body.1"), fk.Stage("top"))
        if self.num_classes:
            self.fc = nn.Linear(WIDTH, self.num_classes)
            self.stages += (fk.Stage("fc"),)

    def layer(self, width: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(width, WIDTH, 3, 2, 1), nn.BatchNorm2d(WIDTH), nn.Hardswish()
        )

    def trunk(self, x: Tensor) -> list[Tensor]:
        maps = [self.stem(x)]
        for layer in self.body:
            maps.append(layer(maps[-1]))
        return maps

    def pool(self, x: Tensor) -> Tensor:
        return self.top(self.drop(x.mean((2, 3))))

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        maps = self.trunk(x)
        vector = self.pool(maps[-1]) if reads.vector or reads.logits else None
        return fk.Features(
            vector if reads.vector else None,
            tuple(maps[level] for level in reads.levels),
            self.fc(vector) if reads.logits else None,
        )


def factory(kind: type[fk.Backbone]) -> Callable[..., fk.Backbone]:
    """Gives the factory that a plugin would offer for a class."""

    def make(
        *, in_channels: int = 3, weights: str | None = None, num_classes: int | None = None
    ) -> fk.Backbone:
        return kind(in_channels, num_classes)

    make.__qualname__ = kind.__name__
    return make


@dataclass(frozen=True)
class Evil:
    """A backbone with a planted fault.

    Attributes:
        check: the name of the check that must catch it.
        make: its factory.
        says: a part of what the finding must say.
        also: checks that cannot but fail too.
    """

    check: str
    make: Callable[..., Any]
    says: str
    also: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return self.make.__qualname__.rpartition(".")[2]


EVILS: list[Evil] = []


def caught_by(check: str, says: str, *also: str) -> Callable[[Any], Any]:
    """Plants a class, or a factory, into the zoo."""

    def plant(kind: Any) -> Any:
        make = factory(kind) if isinstance(kind, type) else kind
        EVILS.append(Evil(check, make, says, frozenset(also)))
        return kind

    return plant


# What is declared


@caught_by("every_parameter_is_in_one_block", "1 parameters are in no stage: scale")
class Orphan(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.scale = nn.Parameter(torch.ones(WIDTH))

    def pool(self, x: Tensor) -> Tensor:
        return super().pool(x) * self.scale


@caught_by("every_parameter_is_in_one_block", "in more than one block: body.1.0.weight (body and")
class InTwoStages(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.stages = (*self.stages[:2], fk.Stage("top", "body.1", "top"), *self.stages[3:])


@caught_by("every_parameter_is_in_one_block", "'body.2', but the trunk has no such module")
class NamesNothing(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        body = fk.Stage("body", "body.0", "body.1", "body.2")
        self.stages = (self.stages[0], body, *self.stages[2:])


@caught_by("every_parameter_is_in_one_block", "2 stages are called 'stem'")
class SameName(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.stages = (self.stages[0], fk.Stage("stem", "body"), *self.stages[2:])


@caught_by("every_parameter_is_in_one_block", "parameters are outside of the trunk 'trunk'")
class OutsideOfTheTrunk(fk.Backbone):
    trunk_path = "trunk"

    def __init__(self, in_channels: int, num_classes: int | None) -> None:
        super().__init__()
        self.in_channels, self.embed_dim = in_channels, 8
        self.first_layers = ("0.weight",)
        self.stages = (fk.Stage("all", "0"),)
        self.trunk = nn.Sequential(nn.Conv2d(in_channels, 8, 4, 4))
        self.top = nn.Linear(8, 8)

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        return fk.Features(self.top(self.trunk(x).mean((2, 3))))


@caught_by("has_several_stages", "11 layers are in one stage, 'all'")
class OneStage(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.more = nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(7)))
        names = ("stem", "body", "more", "top", *(["fc"] if self.num_classes else []))
        self.stages = (fk.Stage("all", *names),)

    def pool(self, x: Tensor) -> Tensor:
        return super().pool(self.more(x.movedim(1, -1)).movedim(-1, 1))


@caught_by("stages_run_in_order", "stage 'stem' runs before 'body'")
class StagesBackwards(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        stem, body, *rest = self.stages
        self.stages = (body, stem, *rest)


@caught_by("stages_run_in_order", "in stage 'body' the block of 'body.0.0.weight' runs before")
class BlocksBackwards(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.stages = (self.stages[0], fk.Stage("body", "body.1", "body.0"), *self.stages[2:])


@caught_by("preprocessing_fits", "there are 1 means and deviations for 3 channels")
class OneMean(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.preprocessing = fk.Preprocessing(mean=(0.5,), std=(0.5,), size=(96, 96))


@caught_by("preprocessing_fits", "prepares images of 96 x 96 pixels, but fixed_size is (64, 64)")
class PreparesAnotherSize(Sound):
    fixed_size = (64, 64)


@caught_by("preprocessing_fits", "96 x 96 pixels, which are no multiples of size_multiple=64")
class PreparesNoMultiple(Sound):
    size_multiple = 64

    def example(self, batch: int = 2) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        return torch.randn(batch, self.in_channels, 128, 128, generator=generator)


@caught_by("example_is_accepted_and_fixed", "another input at each call")
class ExampleVaries(Sound):
    def example(self, batch: int = 2) -> Tensor:
        return torch.rand(batch, self.in_channels, 64, 64, generator=SHARED)


SHARED = torch.Generator().manual_seed(0)


@caught_by("example_is_accepted_and_fixed", "torch's global random state")
class ExampleSeeds(Sound):
    def example(self, batch: int = 2) -> Tensor:
        torch.manual_seed(7)
        return torch.rand(batch, self.in_channels, 64, 64)


@caught_by("example_is_accepted_and_fixed", "example(3) gives tensors of [(2, 3, 64, 64)]")
class ExampleOfTwo(Sound):
    def example(self, batch: int = 2) -> Tensor:
        return torch.zeros(2, self.in_channels, 64, 64)


@caught_by("first_layers_follow_the_channels", "stem.0.weight follow in_channels")
class NoFirstLayers(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.first_layers = ()


@caught_by("first_layers_follow_the_channels", "first_layers names stem.weight, which are no")
class MisspeltFirstLayer(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.first_layers = ("stem.weight",)


@caught_by("first_layers_follow_the_channels", "body.0.0.weight, whose dimension 1 is not")
class TooManyFirstLayers(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.first_layers = ("stem.0.weight", "body.0.0.weight")


# What a factory does


@caught_by("unknown_options_are_refused", "taken without a word")
def swallows_options(
    *, in_channels: int, weights: str | None, num_classes: int | None, **options: Any
) -> fk.Backbone:
    return Sound(in_channels, num_classes)


@caught_by("unknown_options_are_refused", "raises KeyError")
def trips_over_options(
    *, in_channels: int, weights: str | None, num_classes: int | None, **options: Any
) -> fk.Backbone:
    for option in options:
        raise KeyError(option)
    return Sound(in_channels, num_classes)


KEPT: dict[Any, fk.Backbone] = {}


@caught_by("each_call_builds_anew", "two calls give the same backbone")
def keeps_what_it_built(*, in_channels: int = 3, num_classes: int | None = None) -> fk.Backbone:
    key = in_channels, num_classes
    if key not in KEPT:
        KEPT[key] = Sound(in_channels, num_classes)
    return KEPT[key]


TOP = nn.Linear(WIDTH, WIDTH)


@caught_by("each_call_builds_anew", "two backbones share top",
           "classifier_is_kept_on_request", "runs_in_double_precision")  # fmt: skip
class SharesAModule(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.top = TOP


@caught_by("other_channel_counts_work", "does not depend on those numbered 3")
class ReadsThreeOfFour(Sound):
    def __init__(self, in_channels: int = 3, num_classes: int | None = None) -> None:
        super().__init__(min(in_channels, 3), num_classes)
        self.in_channels = in_channels
        self.preprocessing = fk.Preprocessing(size=(96, 96)).for_channels(in_channels)

    def trunk(self, x: Tensor) -> list[Tensor]:
        return super().trunk(x[:, :3])


@caught_by("other_channel_counts_work", "asked for 1 channels, in_channels is 3")
class IgnoresChannels(Sound):
    def __init__(self, in_channels: int, num_classes: int | None) -> None:
        super().__init__(3, num_classes)


@caught_by("other_channel_counts_work", "built for 4 channels, it raises RuntimeError")
class KeepsAnRgbStem(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.stem[0] = nn.Conv2d(3, 8, 3, 2, 1)


@caught_by("other_channel_counts_work", "in_channels=2 raises AssertionError")
class AssertsOnTwoChannels(Sound):
    def __init__(self, in_channels: int, num_classes: int | None) -> None:
        assert in_channels != 2
        super().__init__(in_channels, num_classes)


@caught_by(
    "other_channel_counts_work", "built for 1 channels, its preprocessing has 3 means"
)  # fmt: skip
class PreparesThreeChannels(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.preprocessing = fk.Preprocessing(size=(96, 96))


class _Holds(Sound):
    """Multiplies by one, which it gets in an odd way."""

    def one(self) -> Tensor:
        raise NotImplementedError

    def pool(self, x: Tensor) -> Tensor:
        vector = super().pool(x)
        return vector * self.one().to(vector)


@caught_by("everything_is_registered", "mean is a tensor that is not registered")
class PlainTensor(_Holds):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.mean = torch.ones(WIDTH)

    def one(self) -> Tensor:
        return self.mean


@caught_by("everything_is_registered", "forward uses a tensor that is on the CPU")
class StaysOnTheCpu(Sound):
    def trunk(self, x: Tensor) -> list[Tensor]:
        return super().trunk(x + torch.linspace(0, 1, x.shape[3]))


@caught_by(
    "everything_is_registered", "body.0.0.bias and top.bias are two parameters over the same"
)
class TiedByData(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.top.bias.data = self.body[0][0].bias.data


@caught_by("everything_is_registered", "tables.fine.0 is a tensor that is not registered")
class TensorsInADict(_Holds):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.tables = {"fine": [torch.ones(WIDTH)]}

    def one(self) -> Tensor:
        return self.tables["fine"][0]


@caught_by("everything_is_registered", "give.1 is a tensor that is not registered")
class TensorInAPartial(_Holds):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.give = partial(torch.mul, torch.ones(WIDTH))

    def one(self) -> Tensor:
        return self.give(torch.ones(()))


@caught_by("everything_is_registered", "acts.0 is a ReLU that is not registered")
class HiddenModule(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.acts = [nn.ReLU()]

    def pool(self, x: Tensor) -> Tensor:
        return super().pool(self.acts[0](x))


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


# Batches


@caught_by("takes_a_batch_of_one", "a batch of one gives a vector of (16,)")
class Squeezes(Sound):
    def pool(self, x: Tensor) -> Tensor:
        return super().pool(x).squeeze()


@caught_by("takes_a_batch_of_one", "in train mode a batch of one raises IndexError")
class MixesUpInTraining(Sound):
    def pool(self, x: Tensor) -> Tensor:
        if self.training:
            x = 0.5 * (x + x[[1, 0, *range(2, len(x))]])
        return super().pool(x)


@caught_by("rows_are_independent", "alone in its batch")
class NormalisesTheBatch(Sound):
    def layer(self, width: int) -> nn.Module:
        layer = super().layer(width)
        layer[1] = nn.BatchNorm2d(WIDTH, track_running_stats=False)
        return layer


@caught_by("rows_are_independent", "the vector differs")
class AttendsToTheBatch(Sound):
    def pool(self, x: Tensor) -> Tensor:
        x = super().pool(x)
        return x * (1 + x.softmax(0))


@caught_by("rows_are_independent", "with another sample beside it, a sample's answer changes")
class HearsTheBatch(Sound):
    """Adds next to nothing that comes from the batch."""

    def pool(self, x: Tensor) -> Tensor:
        x = super().pool(x)
        return x + 3e-5 * (x.softmax(0) - 1)


@caught_by("training_gives_the_same_form", "train mode gives tuple")
class AuxiliaryInTraining(Sound):
    def forward(self, x: Tensor, reads: fk.Reads) -> Any:
        features = super().forward(x, reads)
        return tuple(features) if self.training else features


@caught_by("training_gives_the_same_form", "train mode gives a vector of (2, 32)")
class WiderInTraining(Sound):
    def pool(self, x: Tensor) -> Tensor:
        vector = super().pool(x)
        return torch.cat([vector, vector], 1) if self.training else vector


# Inputs


@caught_by("wrong_inputs_are_refused", "check_input accepts the channels last")
class AcceptsAnything(Sound):
    def check_input(self, x: Any) -> None:
        pass


@caught_by("wrong_inputs_are_refused", "check_input raises AssertionError on 4 channels")
class AssertsItsInput(Sound):
    def check_input(self, x: Any) -> None:
        assert x.shape[1] == self.in_channels
        super().check_input(x)


@caught_by("other_sizes_are_refused_or_run", "forward raises RuntimeError")
class EvenSizesOnly(Sound):
    def trunk(self, x: Tensor) -> list[Tensor]:
        b, c, h, w = x.shape
        return super().trunk(x.reshape(b, c, h // 2, 2, w // 2, 2).flatten(4).flatten(2, 3))


@caught_by("other_sizes_are_refused_or_run", "though size_multiple is 32")
class RefusesNoSize(Sound):
    size_multiple = 32

    def check_input(self, x: Any) -> None:
        if not isinstance(x, Tensor) or x.ndim != 4 or x.shape[1] != self.in_channels:
            raise fk.DataError("takes images 'b c h w'")
        if not x.is_floating_point():
            raise fk.DataError("takes floats")


@caught_by("other_sizes_are_refused_or_run", "check_input raises ValueError on 65 x 65 pixels")
class RefusesInOtherWords(Sound):
    def check_input(self, x: Any) -> None:
        super().check_input(x)
        if x.shape[-1] % 2:
            raise ValueError("odd")


# Learning


@caught_by(
    "every_parameter_learns", "2 of 16 parameters never get a gradient, whatever is read: unused"
)
class DeadLayer(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.unused = nn.Linear(WIDTH, WIDTH)
        self.stages += (fk.Stage("unused"),)


@caught_by("every_parameter_learns", "never get a gradient, whatever is read: stem.0.weight")
class DetachesItsStem(Sound):
    def trunk(self, x: Tensor) -> list[Tensor]:
        maps = [self.stem(x).detach()]
        for layer in self.body:
            maps.append(layer(maps[-1]))
        return maps


@caught_by("every_parameter_learns", "`unread` has top.weight, but the vector depends on it")
class CallsItsTopUnread(Sound):
    unread: Mapping[str, tuple[str, ...]] = {"vector": ("top.weight",)}


@caught_by("every_parameter_learns", "`unread` speaks of logits, and it has no classifier")
class KnowsTooMuch(Sound):
    unread: Mapping[str, tuple[str, ...]] = {"logits": ()}


@caught_by("every_parameter_learns", "get no gradient in train mode")
class SkipsItsTopInTraining(Sound):
    def pool(self, x: Tensor) -> Tensor:
        return self.drop(x.mean((2, 3))) if self.training else super().pool(x)


@caught_by(
    "every_parameter_learns", "all gradients in stage 'stem' are zero", "runs_in_double_precision"
)
class Rounds(Sound):
    def trunk(self, x: Tensor) -> list[Tensor]:
        maps = [(4 * self.stem(x)).round()]
        for layer in self.body:
            maps.append(layer(maps[-1]))
        return maps


@caught_by("every_parameter_learns", "are not finite")
class InfiniteGradient(Sound):
    def pool(self, x: Tensor) -> Tensor:
        vector = super().pool(x)
        return vector + (vector - vector.detach()).abs().sqrt()


# The provider's classifier


@caught_by("classifier_is_kept_on_request", "num_classes is 5, but the logits of a batch of 2 are")
class LogitsOfSeven(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        if self.num_classes:
            self.fc = nn.Linear(WIDTH, 7)


@caught_by("classifier_is_kept_on_request", "built with num_classes=None, num_classes is 5")
class NeverDropsItsClassifier(Sound):
    def __init__(self, in_channels: int, num_classes: int | None) -> None:
        super().__init__(in_channels, 5)


@caught_by("classifier_is_kept_on_request", "the logits are probabilities")
class GivesProbabilities(Sound):
    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        features = super().forward(x, reads)
        logits = features.logits
        return features._replace(logits=None if logits is None else logits.softmax(1))


@caught_by("classifier_is_kept_on_request", "with its classifier kept, the vector differs")
class VectorBehindTheNorm(Sound):
    def pool(self, x: Tensor) -> Tensor:
        vector = super().pool(x)
        return vector if self.num_classes is None else functional.layer_norm(vector, (WIDTH,))


# Precision


@caught_by("runs_in_double_precision", "RuntimeError")
class FloatConstant(Sound):
    def pool(self, x: Tensor) -> Tensor:
        return super().pool(x) + torch.ones(len(x), 4, device=x.device) @ x.new_ones(4, WIDTH)


@caught_by("runs_in_double_precision", "in float64 the vector is torch.float32")
class CastsToFloat(Sound):
    def pool(self, x: Tensor) -> Tensor:
        return super().pool(x).float()


@caught_by("runs_under_autocast", "RuntimeError")
class ScattersIntoTheInputsType(Sound):
    def trunk(self, x: Tensor) -> list[Tensor]:
        maps = super().trunk(x)
        kept = torch.zeros_like(maps[0], dtype=x.dtype)
        index = torch.arange(8, device=x.device)
        return [kept.index_add(1, index, maps[0]), *maps[1:]]
