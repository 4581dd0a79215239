"""Backbones that break a promise of what is declared, or of what a factory does."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from sound_backbone import WIDTH, Sound, caught_by
from torch import Tensor, nn

import fusionkit as fk

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


@caught_by("every_parameter_is_in_one_block", "norms that keep statistics are in no stage, so that")
class LooseNorm(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.norm = nn.BatchNorm2d(8, affine=False)

    def trunk(self, x: Tensor) -> list[Tensor]:
        maps = [self.norm(self.stem(x))]
        for layer in self.body:
            maps.append(layer(maps[-1]))
        return maps


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


@caught_by("unknown_options_are_refused", "the option act has the default")
def takes_a_class(
    *,
    in_channels: int,
    weights: str | None,
    num_classes: int | None,
    act: type[nn.Module] = nn.Hardswish,
) -> fk.Backbone:
    return Sound(in_channels, num_classes)


@caught_by("unknown_options_are_refused", "asked for weights that there are not, it says it has")
def has_any_weights(
    *, in_channels: int, weights: str | None, num_classes: int | None
) -> fk.Backbone:
    built = Sound(in_channels, num_classes)
    built.weights = weights
    return built


@caught_by("each_call_builds_anew", "two calls with the same options give other tensors: top.bias")
def pops_its_default(
    *,
    in_channels: int = 3,
    num_classes: int | None = None,
    settings: dict[str, bool] = {"bias": False},  # noqa: B006
) -> fk.Backbone:
    built = Sound(in_channels, num_classes)
    built.top = nn.Linear(WIDTH, WIDTH, bias=settings.pop("bias", True))
    return built


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


@caught_by("everything_is_registered", "forward uses a tensor that is on the CPU")
class KeepsItsTableByWidth(Sound):
    """Keeps what it made where the first input was, for inputs anywhere."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.tables: dict[int, Tensor] = {}

    def trunk(self, x: Tensor) -> list[Tensor]:
        width = x.shape[3]
        if width not in self.tables:
            with torch.inference_mode(False):
                self.tables[width] = torch.linspace(0, 1, width, device=x.device)
        return super().trunk(x + self.tables[width])


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
