"""Heads with one planted fault each: how they are built, what they read, what they learn."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import fusionkit as fk


class Good(fk.FusionHead):
    """Adds a linear layer's scores over the vectors of all branches."""

    reads = "vector"

    def __init__(self, inputs: Mapping[str, fk.HeadInput], *, num_classes: int) -> None:
        super().__init__()
        self.names = tuple(sorted(inputs))
        self.num_classes = num_classes
        self.make(inputs)

    def make(self, inputs: Mapping[str, fk.HeadInput]) -> None:
        self.out = nn.ModuleDict(
            {name: nn.Linear(inputs[name].embed_dim, self.num_classes) for name in self.names}
        )

    def forward(self, features: Mapping[str, fk.Features]) -> Tensor:
        return self.add([self.score(name, features[name]) for name in self.names])

    def score(self, name: str, each: fk.Features) -> Tensor:
        return self.out[name](each.vector)

    def add(self, scores: list[Tensor]) -> Tensor:
        return torch.stack(scores).sum(0)


class UnevenGains(Good):
    """Multiplies the scores of some branches by numbers."""

    def __init__(self, inputs, *, num_classes, gains=None):
        self.gains = dict(gains or {})
        super().__init__(inputs, num_classes=num_classes)

    def score(self, name, each):
        return super().score(name, each) * self.gains.get(name, 1.0)


class HoldsHalfStill(Good):
    """Lets gradients through to half of each vector."""

    def score(self, name, each):
        learned, still = each.vector.tensor_split(2, 1)
        return self.out[name](torch.cat([learned, still.detach()], 1))


class GoesThroughTheBatch(Good):
    """Takes the batch for a sequence, as an RNN does that was not told batch_first."""

    def add(self, scores):
        joined = super().add(scores)
        return joined + 0.1 * (joined.cumsum(0) - joined)


class NoHead(nn.Module):
    """Is not a fusion head at all."""

    def __init__(self, inputs: Any, *, num_classes: int) -> None:
        super().__init__()


class SaysNothing(Good):
    """Does not say what it reads."""

    reads = None


class LazyLayers(Good):
    """Leaves its widths to the first forward pass."""

    def make(self, inputs):
        self.out = nn.ModuleDict({name: nn.LazyLinear(self.num_classes) for name in self.names})


class IgnoresClasses(Good):
    """Gives ten scores whatever it is asked for."""

    def make(self, inputs):
        self.num_classes = 10
        super().make(inputs)


class NeedsTwo(Good):
    """Fails with one branch, without saying why."""

    def make(self, inputs):
        super().make(inputs)
        self.second = self.names[1]


class NeedsAnyButTwo(Good):
    """Fails with two unequal branches, which it should refuse."""

    def make(self, inputs):
        super().make(inputs)
        if len({each.embed_dim for each in inputs.values()}) == 2:
            raise ValueError("not two")


class FailsWithThree(Good):
    """Fails in forward with three branches, which it should refuse when it is built."""

    def add(self, scores):
        if len(scores) > 2:
            raise IndexError("only two")
        return super().add(scores)


class FailsWithMore(Good):
    """Has gains for as many branches as its author tried."""

    def add(self, scores):
        gains = torch.tensor([1.0, 0.9, 0.8]).to(scores[0])[: len(scores)]
        return (torch.stack(scores) * gains[:, None, None]).sum(0)


class FailsWithLogits(Good):
    """Fails where a branch has a classifier."""

    def make(self, inputs):
        super().make(inputs)
        assert not any(each.num_classes for each in inputs.values())


class NeedsUnequalWidths(Good):
    """Finds branches by their widths."""

    def make(self, inputs):
        super().make(inputs)
        if len({each.embed_dim for each in inputs.values()}) < len(inputs):
            raise KeyError("two branches of one width")


class NeedsMaps(Good):
    """Looks at the maps' widths, though it reads vectors only."""

    def make(self, inputs):
        super().make(inputs)
        self.widest = max(each.levels[-1].channels for each in inputs.values())


class SqueezesClasses(Good):
    """Gives "b" for a single class."""

    def add(self, scores):
        return super().add(scores).squeeze(1)


class SqueezesBatch(Good):
    """Gives "k" for a single sample."""

    def add(self, scores):
        return super().add(scores).squeeze(0)


class HidesLogits(Good):
    """Reads logits where there are some, and does not say so before."""

    def make(self, inputs):
        kept = {name for name in self.names if inputs[name].num_classes == self.num_classes}
        self.reads = {name: "logits" if name in kept else "vector" for name in self.names}
        self.symmetric = len(kept) == len(self.names)
        self.out = nn.ModuleDict(
            {
                name: nn.Linear(inputs[name].embed_dim, self.num_classes)
                for name in self.names
                if name not in kept
            }
        )

    def score(self, name, each):
        return each.logits if each.logits is not None else super().score(name, each)


class BoastsOfLogits(Good):
    """Keeps the branches' classifiers, and never reads them."""

    takes_logits = True


class Undocumented(Good):
    pass


class PlainList(Good):
    """Keeps weights in a list, where no optimizer finds them."""

    def make(self, inputs):
        super().make(inputs)
        self.scales = [torch.randn(self.num_classes, requires_grad=True) for _ in self.names]

    def add(self, scores):
        return sum(score * scale for score, scale in zip(scores, self.scales, strict=True))


class PlainModules(Good):
    """Keeps layers in a plain dict."""

    def make(self, inputs):
        super().make(inputs)
        self.more = {name: nn.Linear(inputs[name].embed_dim, 1) for name in self.names}

    def score(self, name, each):
        return super().score(name, each) + self.more[name](each.vector)


class LearningBuffer(Good):
    """Keeps what should learn in a buffer, with a gradient that nobody uses."""

    def make(self, inputs):
        super().make(inputs)
        self.register_buffer("gain", torch.ones(self.num_classes).requires_grad_())

    def add(self, scores):
        return super().add(scores) * self.gain


class RandomBuffer(Good):
    """Keeps a random projection in a buffer, where it never learns."""

    def make(self, inputs):
        super().make(inputs)
        self.register_buffer("mixing", torch.randn(self.num_classes, self.num_classes))

    def add(self, scores):
        return super().add(scores) @ self.mixing


class FrozenAtRandom(Good):
    """Projects by weights that are drawn and never learn."""

    def make(self, inputs):
        super().make(inputs)
        self.mix = nn.Linear(self.num_classes, self.num_classes, bias=False)
        self.mix.requires_grad_(False)

    def add(self, scores):
        return self.mix(super().add(scores))


class Detached(Good):
    """Uses a weight without its gradient."""

    def make(self, inputs):
        super().make(inputs)
        self.gain = nn.Parameter(torch.ones(self.num_classes))

    def add(self, scores):
        return super().add(scores) * self.gain.detach()


class DeadGate(Good):
    """Multiplies what a weight does by zero."""

    def make(self, inputs):
        super().make(inputs)
        self.gate = nn.Parameter(torch.ones(self.num_classes))

    def add(self, scores):
        return super().add(scores) + 0 * self.gate


class Seeds(Good):
    """Sets the seed of everybody."""

    def make(self, inputs):
        torch.manual_seed(0)
        super().make(inputs)


class SetsVariables(Good):
    """Sets an environment variable."""

    def make(self, inputs):
        os.environ["EVIL_HEAD"] = "1"
        super().make(inputs)


class Swallows(Good):
    """Takes any option."""

    def __init__(self, inputs, *, num_classes, **options):
        super().__init__(inputs, num_classes=num_classes)


class TuplesOnly(Good):
    """Takes a tuple, which no file can give."""

    def __init__(self, inputs, *, num_classes, gains=(1.0, 2.0)):
        if not isinstance(gains, tuple):
            raise fk.ConfigError(f"gains is a tuple, got {gains!r}")
        super().__init__(inputs, num_classes=num_classes)


class TakesAClass(Good):
    """Has an option whose values no recipe can hold."""

    def __init__(self, inputs, *, num_classes, act=nn.ReLU):
        super().__init__(inputs, num_classes=num_classes)


class GivesProbabilities(Good):
    """Gives what cross-entropy would make of its scores."""

    def add(self, scores):
        return super().add(scores).softmax(-1)


class GivesProbabilitiesInEval(Good):
    """Gives scores to the loss, and shares to who asks."""

    def add(self, scores):
        summed = super().add(scores)
        return summed if self.training else summed.sigmoid()


class BeginsAtZeroTwice(Good):
    """Multiplies two factors that are both zero at the beginning."""

    def make(self, inputs):
        super().make(inputs)
        self.gain = nn.Parameter(torch.zeros(self.num_classes))
        self.slope = nn.Parameter(torch.zeros(self.num_classes))

    def add(self, scores):
        summed = super().add(scores)
        return summed + self.gain * self.slope * summed.tanh()


class KeepsItsLastScores(Good):
    """Keeps a tensor of the last pass, of which no copy can be made."""

    last = None

    def add(self, scores):
        self.last = super().add(scores)
        return self.last


class MakesNumbersOnTheCpu(Good):
    """Makes a window where no GPU looks for it."""

    def add(self, scores):
        return super().add(scores) * torch.linspace(0.5, 1.5, self.num_classes).to(scores[0].dtype)


class AddsDoubles(Good):
    """Adds numbers of more bits than the features have."""

    def add(self, scores):
        prior = torch.arange(self.num_classes, device=scores[0].device, dtype=torch.float64)
        return super().add(scores) + prior


class Evil(NamedTuple):
    """A head, the check that must catch it, and those that cannot help but fail as well."""

    make: Any
    check: str
    also: tuple[str, ...] = ()


UNSAVED = ("state_dict", "safetensors", "functional_call", "works_in_a_model")
UNREGISTERED = (*UNSAVED, "built_on_meta", "bfloat16_head")

EVIL_HEADS = (
    Evil(NoHead, "builds"),
    Evil(SaysNothing, "builds"),
    Evil(LazyLayers, "builds"),
    Evil(IgnoresClasses, "answers"),
    Evil(NeedsTwo, "one_branch", ("stock_classifiers",)),
    Evil(NeedsAnyButTwo, "two_branches", ("stock_classifiers", "branch_without_maps")),
    Evil(FailsWithThree, "three_branches", ("stock_classifiers", "many_branches")),
    Evil(FailsWithMore, "many_branches"),
    Evil(FailsWithLogits, "stock_classifiers", ("equal_branches",)),
    Evil(NeedsUnequalWidths, "equal_branches", ("many_branches",)),
    Evil(NeedsMaps, "branch_without_maps"),
    Evil(SqueezesClasses, "any_number_of_classes"),
    Evil(SqueezesBatch, "batch_of_one"),
    Evil(HidesLogits, "says_whether_it_takes_logits"),
    Evil(BoastsOfLogits, "says_whether_it_takes_logits"),
    Evil(Undocumented, "says_what_it_is"),
    Evil(PlainList, "everything_is_registered", (*UNSAVED, "built_on_meta")),
    Evil(PlainModules, "everything_is_registered", UNREGISTERED),
    Evil(LearningBuffer, "everything_is_registered"),
    Evil(RandomBuffer, "random_numbers_learn"),
    Evil(FrozenAtRandom, "random_numbers_learn"),
    Evil(Detached, "every_parameter_learns", ("gradients_are_derivatives",)),
    Evil(DeadGate, "every_parameter_learns"),
    Evil(HoldsHalfStill, "gradients_are_derivatives", ("gradients_reach_the_features",)),
    Evil(GoesThroughTheBatch, "rows_are_independent"),
    Evil(GivesProbabilities, "gives_scores"),
    Evil(GivesProbabilitiesInEval, "gives_scores"),
    Evil(BeginsAtZeroTwice, "learns_from_its_first_weights"),
    Evil(KeepsItsLastScores, "deepcopy"),
    Evil(MakesNumbersOnTheCpu, "everything_is_registered"),
    Evil(AddsDoubles, "answers"),
    Evil(Seeds, "leaves_its_surroundings_alone"),
    Evil(SetsVariables, "leaves_its_surroundings_alone"),
    Evil(Swallows, "unknown_option"),
    Evil(TuplesOnly, "options_survive_a_recipe"),
    Evil(TakesAClass, "options_survive_a_recipe"),
)
