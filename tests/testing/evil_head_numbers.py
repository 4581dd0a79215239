"""Heads with one planted fault each: modes, numbers, copies and compilers."""

from __future__ import annotations

import math

import numpy
import torch
from evil_heads import UNSAVED, Evil, Good
from torch import nn
from torch.nn import functional as F


class FreshProjection(Good):
    """Makes a random layer anew at each forward pass."""

    def add(self, scores):
        total = super().add(scores)
        return total + nn.Linear(total.shape[1], total.shape[1]).to(total)(total)


class DropoutInEval(Good):
    """Drops features in eval mode too."""

    def score(self, name, each):
        return super().score(name, each._replace(vector=F.dropout(each.vector, 0.5)))


class DrawsFromNumpy(Good):
    """Adds noise from a generator that torch does not seed."""

    def add(self, scores):
        total = super().add(scores)
        return total + total.new_tensor(numpy.random.randn(self.num_classes) * 0.01)


class DrawsForNothing(Good):
    """Draws random numbers in eval mode, and does nothing with them."""

    def add(self, scores):
        torch.rand(3)
        return super().add(scores)


class MadeAtForward(Good):
    """Makes a layer when it is first used."""

    def add(self, scores):
        total = super().add(scores)
        if not hasattr(self, "late"):
            self.late = nn.Linear(total.shape[1], total.shape[1]).to(total)
        return self.late(total)


class CountsInEval(Good):
    """Moves a buffer in eval mode."""

    def make(self, inputs):
        super().make(inputs)
        self.register_buffer("calls", torch.zeros(()))

    def add(self, scores):
        self.calls += 1
        return super().add(scores)


class SeesBatchMates(Good):
    """Centres scores over the batch in eval mode."""

    def add(self, scores):
        total = super().add(scores)
        return total - 0.5 * total.mean(0)


class PlainBatchNorm(Good):
    """Fails on a single sample in training, without saying what to do."""

    def make(self, inputs):
        super().make(inputs)
        self.norm = nn.BatchNorm1d(self.num_classes)

    def add(self, scores):
        return self.norm(super().add(scores))


class RemembersTraining(Good):
    """Keeps count of training passes in a number, and answers by it."""

    passes = 0

    def add(self, scores):
        self.passes += self.training
        return super().add(scores) * (1 + 0.1 * self.passes)


class KeepsWhatInferenceMade(Good):
    """Weighs scores by a window that it makes when it first runs on a device."""

    window = None

    def add(self, scores):
        total = super().add(scores)
        if self.window is None or self.window.device != total.device:
            self.window = torch.linspace(0.5, 1.5, self.num_classes, device=total.device)
        return total * self.window.to(total)


class NakedSqrt(Good):
    """Has a gradient of NaN behind a value that is not chosen."""

    def score(self, name, each):
        x = each.vector
        return super().score(name, each._replace(vector=torch.where(x > 0, x.sqrt(), x)))


class NakedExponential(Good):
    """Writes a softmax by hand."""

    def add(self, scores):
        return sum(score.exp() / score.exp().sum(-1, keepdim=True) for score in scores)


class LogOfZero(Good):
    """Takes the logarithm of a probability."""

    def add(self, scores):
        return sum(score.softmax(-1).log() for score in scores)


class UnitLength(Good):
    """Divides by a length that may be zero."""

    def score(self, name, each):
        x = each.vector.float()
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return super().score(name, each._replace(vector=(x / length).to(each.vector.dtype)))


class HalfSquares(Good):
    """Sums squares in the type of the features."""

    def score(self, name, each):
        x = each.vector
        length = ((x * x).mean(-1, keepdim=True) + 1e-4).sqrt()
        return super().score(name, each._replace(vector=x / length))


class LargeOffset(Good):
    """Adds a number in whose neighbourhood half precision is coarse."""

    def add(self, scores):
        return (super().add(scores) + 200) - 200


class FloatOnly(Good):
    """Widens features, and gives them to layers that may not be wide."""

    def score(self, name, each):
        return super().score(name, each._replace(vector=each.vector.float()))


class CopiesToItself(Good):
    """Says that it is its own copy."""

    def __deepcopy__(self, memo):
        return self


class LocalFunction(Good):
    """Keeps a function that cannot be pickled."""

    def make(self, inputs):
        super().make(inputs)
        self.last = lambda x: x * 2

    def add(self, scores):
        return self.last(super().add(scores))


class UnsavedCode(Good):
    """Draws signs, and does not save them."""

    def make(self, inputs):
        super().make(inputs)
        signs = torch.randint(2, (8 * self.num_classes,)) * 2.0 - 1
        self.register_buffer("signs", signs, persistent=False)

    def add(self, scores):
        total = super().add(scores)
        return (total.repeat(1, 8) * self.signs).unflatten(1, (8, -1)).sum(1) + total


class OtherNameInFiles(Good):
    """Saves a tensor under a name that it does not load from."""

    def make(self, inputs):
        super().make(inputs)
        self.gain = nn.Parameter(torch.ones(self.num_classes))

    def add(self, scores):
        return super().add(scores) * self.gain

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}gain_"] = destination.pop(f"{prefix}gain")


class NumbersAtBuild(Good):
    """Reads a number out of a tensor while it is built."""

    def make(self, inputs):
        super().make(inputs)
        self.temperature = torch.linspace(0.5, 1.5, 3)[1].item()

    def add(self, scores):
        return super().add(scores) / self.temperature


class KeepsReference(Good):
    """Uses a second reference to a weight."""

    def make(self, inputs):
        super().make(inputs)
        self.gain = nn.Parameter(torch.ones(self.num_classes))
        self.quick = (self.gain,)

    def add(self, scores):
        return super().add(scores) * self.quick[0]


class OneLayerForAll(Good):
    """Shares a layer with every other head of its class, which none can then own."""

    layer = nn.Linear(5, 5)

    def make(self, inputs):
        super().make(inputs)
        self.last = self.layer

    def add(self, scores):
        return self.last(super().add(scores))


class NotYetKnown(Good):
    """Marks a statistic that is not known yet by NaN, which cannot be saved."""

    def make(self, inputs):
        super().make(inputs)
        self.register_buffer("mean", torch.full((self.num_classes,), torch.nan))

    def add(self, scores):
        return super().add(scores) - self.mean.nan_to_num()


class DecidesByValue(Good):
    """Takes another way where the scores are large."""

    def add(self, scores):
        total = super().add(scores)
        return total if float(total.detach().abs().max()) < math.inf else -total


COPIES = ("deepcopy", "pickled", *UNSAVED, "built_on_meta")
ANSWERS_TWICE = (
    *("order_of_branches_is_free", "rows_are_independent", "batch_of_one", "train_mode_works"),
    *COPIES,
)
RENAMED = ("order_of_branches_is_free", "safetensors", "functional_call", "built_on_meta")
MADE = ("order_of_branches_is_free", "eval_is_deterministic")

EVIL_HEAD_NUMBERS = (
    Evil(OneLayerForAll, "builds"),
    Evil(FreshProjection, "forward_makes_no_weights", ("eval_is_deterministic", *ANSWERS_TWICE)),
    Evil(DropoutInEval, "eval_is_deterministic", ANSWERS_TWICE),
    Evil(
        DrawsFromNumpy, "eval_is_deterministic", (*ANSWERS_TWICE, "leaves_its_surroundings_alone")
    ),
    Evil(DrawsForNothing, "eval_is_deterministic"),
    Evil(MadeAtForward, "forward_makes_no_weights", (*MADE, *COPIES[1:], "train_mode_works")),
    Evil(CountsInEval, "forward_makes_no_weights"),
    Evil(SeesBatchMates, "rows_are_independent", ("batch_of_one",)),
    Evil(PlainBatchNorm, "batch_of_one"),
    Evil(RemembersTraining, "train_mode_works", ("works_in_a_model",)),
    Evil(KeepsWhatInferenceMade, "train_mode_works"),
    Evil(
        NakedSqrt, "gradients_are_finite", ("large_features", "zero_features", "works_in_a_model")
    ),
    Evil(NakedExponential, "large_features", ("float16_autocast", "gives_scores")),
    Evil(LogOfZero, "large_features", ("float16_autocast",)),
    Evil(UnitLength, "zero_features"),
    Evil(HalfSquares, "float16_autocast"),
    Evil(LargeOffset, "bfloat16_autocast", ("bfloat16_head",)),
    Evil(FloatOnly, "bfloat16_head"),
    Evil(CopiesToItself, "deepcopy"),
    Evil(LocalFunction, "pickled"),
    Evil(UnsavedCode, "state_dict", UNSAVED),
    Evil(OtherNameInFiles, "state_dict", RENAMED),
    Evil(NumbersAtBuild, "built_on_meta"),
    Evil(KeepsReference, "functional_call", ("built_on_meta", "everything_is_registered")),
    Evil(NotYetKnown, "works_in_a_model"),
)

EVIL_HEAD_COMPILERS = (Evil(DecidesByValue, "compiles"), Evil(DecidesByValue, "exports"))
