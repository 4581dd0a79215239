"""Backbones that break a promise of batches, inputs, learning, classifier or precision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from einops import rearrange, reduce
from sound_backbone import WIDTH, Sound, caught_by
from torch import Tensor, nn
from torch.nn import functional

import fusionkit as fk

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


@caught_by("other_sizes_are_refused_or_run", "check_input accepts 68 x 94 pixels, and forward")
class MergesPatches(Sound):
    """Takes 64, 65, 73 and 96 pixels, of which 16, 16, 18 and 24 patches fit."""

    def trunk(self, x: Tensor) -> list[Tensor]:
        patches = functional.avg_pool2d(x, 4)
        merged = rearrange(patches, "b c (h p) (w q) -> b c h w (p q)", p=2, q=2)
        return super().trunk(x + reduce(merged, "b c h w pixels -> b c 1 1", "mean"))


# Learning


@caught_by(
    "every_parameter_learns", "2 of 16 parameters never get a gradient, whatever is read: unused"
)
class DeadLayer(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.unused = nn.Linear(WIDTH, WIDTH)
        self.stages += (fk.Stage("unused"),)


@caught_by(
    "every_parameter_learns", "never get a gradient, whatever is read: stem.0.weight",
    "gradients_are_derivatives",
)  # fmt: skip
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


@caught_by("gradients_are_derivatives", "the gradient of the map of level 1 is not how it changes")
class LearnsFromHalfOfALevel(Sound):
    """The map's second half comes with no gradient; the next level learns from all of it."""

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        features = super().forward(x, reads)
        maps = list(features.maps)
        for index, level in enumerate(reads.levels):
            if level == 1:
                learned, still = maps[index].chunk(2, 1)
                maps[index] = torch.cat([learned, still.detach()], 1)
        return features._replace(maps=tuple(maps))


@caught_by("gradients_are_derivatives", "the gradient of the vector is not how it changes")
class HoldsItsGateStill(Sound):
    """Of what changes, little comes through the gate."""

    def pool(self, x: Tensor) -> Tensor:
        x = super().pool(x)
        return x * (1 + 0.1 * x.sigmoid().detach())


class _Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


@caught_by("gradients_are_derivatives", "the gradient of the vector is not how it changes")
class ForgetsAFactor(Sound):
    def pool(self, x: Tensor) -> Tensor:
        return _Doubled.apply(super().pool(x))


# The provider's classifier


class _ScoresOtherwise(Sound):
    def rescored(self, logits: Tensor, reads: fk.Reads) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        features = super().forward(x, reads)
        if features.logits is None:
            return features
        return features._replace(logits=self.rescored(features.logits, reads))


@caught_by("classifier_is_kept_on_request", "the same question again: the logits differ")
class DropsScores(_ScoresOtherwise):
    def rescored(self, logits: Tensor, reads: fk.Reads) -> Tensor:
        return functional.dropout(logits, 0.2)


@caught_by("classifier_is_kept_on_request", "a sample's logits change by")
class CentresScores(_ScoresOtherwise):
    def rescored(self, logits: Tensor, reads: fk.Reads) -> Tensor:
        return logits - logits.mean(0)


@caught_by("classifier_is_kept_on_request", "read with the vector and all maps: the logits differ")
class ScoresOtherwiseAlone(_ScoresOtherwise):
    def rescored(self, logits: Tensor, reads: fk.Reads) -> Tensor:
        return logits if reads.vector else 2 * logits


@caught_by("classifier_is_kept_on_request", "in train mode the logits are (2, 1), not (2, 5)")
class FewerScoresInTraining(_ScoresOtherwise):
    def rescored(self, logits: Tensor, reads: fk.Reads) -> Tensor:
        return logits[:, :1] if self.training else logits


@caught_by("classifier_is_kept_on_request", "num_classes=7, it has num_classes=None")
def makes_none_anew(
    *,
    in_channels: int = 3,
    weights: str | None = None,
    num_classes: int | None = None,
    new_classifier: bool = False,
) -> fk.Backbone:
    return Sound(in_channels, num_classes)


class _Anew(Sound):
    """Has a classifier of another width than it says."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(in_channels, 5)
        self.num_classes = num_classes


@caught_by("classifier_is_kept_on_request", "anew for 7 classes, the logits of a batch of 2 are (2")
def makes_five_anew(
    *,
    in_channels: int = 3,
    weights: str | None = None,
    num_classes: int | None = None,
    new_classifier: bool = False,
) -> fk.Backbone:
    if new_classifier and num_classes is not None:
        return _Anew(in_channels, num_classes)
    return Sound(in_channels, num_classes)


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


@caught_by("classifier_is_kept_on_request", "kept, 2 parameters are in no stage: fc.weight")
class OrphanClassifier(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.stages = self.stages[:3]


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


@caught_by("runs_under_autocast", "under autocast to float16 it raises RuntimeError")
class MasksByABillion(Sound):
    def pool(self, x: Tensor) -> Tensor:
        vector = super().pool(x)
        return vector + (0 * vector).masked_fill(vector > 1e3, -1e9)
