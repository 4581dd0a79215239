"""Backbones that break one promise of freezing or training each, and the check that must say so."""

from __future__ import annotations

import random
import threading
from types import MethodType
from typing import ClassVar
from weakref import WeakKeyDictionary

import torch
from odd_toys import OddNet
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

import fusionkit as fk


class Trio(OddNet):
    """Three convolutions, a stage each; the evil ones do something between them."""

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        maps = []
        for index, layer in enumerate((self.one, self.two, self.three)):
            x = self.after(index, torch.tanh(layer(x)))
            maps.append(x)
        vector = x.mean((2, 3)) if reads.vector else None
        return fk.Features(vector, tuple(maps[level] for level in reads.levels))

    def after(self, index: int, x: Tensor) -> Tensor:
        return x


class HoldsALock(Trio):
    """Cannot be copied, so that nothing can be measured of it."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(in_channels)
        self.lock = threading.Lock()


class AlwaysDrops(Trio):
    """Drops whatever its mode."""

    def after(self, index, x):
        return functional.dropout(x, 0.5, training=True) if index == 0 else x


class AlwaysDraws(Trio):
    """Adds Python's random numbers in eval mode."""

    def after(self, index, x):
        return x + random.random()


class SubtractsTheBatch(Trio):
    """Answers by what else is in the batch."""

    def after(self, index, x):
        return x - x.mean(0, keepdim=True) if index == 1 else x


class HidesANorm(Trio):
    """Keeps a norm in a plain list, where no mode reaches it."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(in_channels)
        self.hidden = [nn.BatchNorm2d(8, affine=False)]

    def after(self, index, x):
        return self.hidden[0](x) if index == 1 else x


class CountsAlways(Trio):
    """Changes a buffer in eval mode."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(in_channels)
        self.register_buffer("seen", torch.zeros(()), persistent=False)

    def after(self, index, x):
        self.seen += 1
        return x


class NormalisesItsWeight(Trio):
    """Changes a parameter in place, past autograd."""

    def after(self, index, x):
        self.two.weight.data /= self.two.weight.data.norm()
        return x


class MovesAPlainMean(Trio):
    """Has a moving statistic in a plain attribute, and moves it in eval mode."""

    mean = 0.0

    def after(self, index, x):
        if index == 0:
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean()
        return x - self.mean


class HeatsUp(Trio):
    """Decides by itself that a stage learns."""

    def after(self, index, x):
        self.two.requires_grad_(True)
        return x


class Tracker(nn.Conv2d):
    """A convolution with a moving mean in a buffer."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.register_buffer("mean", torch.zeros(1, arguments[1], 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        if self.training:
            self.mean += 0.1 * (x.detach().mean((0, 2, 3), keepdim=True) - self.mean)
        return x


class SharesABuffer(Trio):
    """The last stage moves a buffer that the first one holds too."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(in_channels)
        self.one = Tracker(in_channels, 8, 3, 2, 1)
        self.three = Tracker(8, 8, 3, 2, 1)
        self.three.mean = self.one.mean


class LearnsFromItself(Trio):
    """Its first stage follows the last one, past autograd."""

    def after(self, index, x):
        if index == 2 and self.three.training:
            self.two.weight.data.lerp_(self.three.weight.data, 0.01)
        return x


class AsksTheWrongStage(Trio):
    """The noise of the first stage depends on the mode of the last."""

    def after(self, index, x):
        return functional.dropout(x, 0.5, self.three.training) if index == 0 else x


class WakesItsNoise(Trio):
    """Its train() puts a child into train mode, whatever it is asked for."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(in_channels)
        self.noise = nn.Dropout(0.0)

    def train(self, mode: bool = True):
        super().train(mode)
        self.noise.train(True)
        return self


class DeafConv(nn.Conv2d):
    def train(self, mode: bool = True):
        return self


class IgnoresItsMode(Trio):
    """A layer stays in train mode for ever."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(in_channels)
        self.two = DeafConv(8, 8, 3, 2, 1)


class NeverTrains(Trio):
    """Its train() is always eval()."""

    def train(self, mode: bool = True):
        return super().train(False)


class ReturnsNothing(Trio):
    """Forgets the return value of train()."""

    def train(self, mode: bool = True):
        super().train(mode)


class HidesItsNoise(Trio):
    """A plain convolution with a forward of its own, of which no type tells."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(in_channels)

        def noisy(layer: nn.Conv2d, x: Tensor) -> Tensor:
            return functional.dropout(type(layer).forward(layer, x), 0.5, layer.training)

        self.two.forward = MethodType(noisy, self.two)


class HidesItsMode(Trio):
    """Has a switch for its noise that `training` knows nothing of."""

    training = property(lambda self: False, lambda self, mode: None)


class HeatsInTrain(Trio):
    """Ties what learns to train mode."""

    def train(self, mode: bool = True):
        super().train(mode)
        for value in self.parameters():
            value.requires_grad_(True)
        return self


class CutsItsStem(Trio):
    """Runs its stem without gradients, so that it never learns."""

    def after(self, index, x):
        return x.detach() if index == 0 else x


class CutsItsVector(Trio):
    """Lets no gradient through from the vector, though one reaches everything from the maps."""

    def forward(self, x, reads):
        features = super().forward(x, reads)
        if features.vector is None:
            return features
        (fine,) = super().forward(x, fk.Reads(maps=(1,))).maps
        coarse = torch.tanh(self.three(fine.detach()))
        return features._replace(vector=coarse.mean((2, 3)))


class CutsItsLogits(Trio):
    """Has a classifier through which no gradient comes."""

    def __init__(self, in_channels: int = 3, num_classes: int | None = None) -> None:
        super().__init__(in_channels)
        self.num_classes = num_classes
        if num_classes:
            self.fc = nn.Linear(8, num_classes)
            self.stages += (fk.Stage("fc"),)

    def forward(self, x, reads):
        features = super().forward(x, fk.Reads(vector=True, maps=reads.maps))
        logits = self.fc(features.vector.detach()) if reads.logits else None
        return features._replace(vector=features.vector if reads.vector else None, logits=logits)


class CutsItsMiddle(Trio):
    """Gives one map of three without its history."""

    def forward(self, x, reads):
        found = super().forward(x, reads)
        pairs = zip(reads.levels, found.maps, strict=True)
        return found._replace(maps=tuple(x.detach() if n == 1 else x for n, x in pairs))


class UsesData(Trio):
    """Scales by a parameter past autograd."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(in_channels)
        self.scale = nn.Parameter(torch.ones(8, 1, 1))
        self.stages = (fk.Stage("one", ("one", "scale")), fk.Stage("two"), fk.Stage("three"))

    def after(self, index, x):
        return x * self.scale.data if index == 0 else x


class CutsInTrain(Trio):
    """Cuts the gradient in train mode only."""

    def after(self, index, x):
        return x.detach() if index == 1 and self.training else x


class CutsTooMuch(Trio):
    """Spares gradients where a stage is frozen, but cuts behind the wrong one."""

    def after(self, index, x):
        return x.detach() if index == 1 and not self.one.weight.requires_grad else x


class MakesParameters(Trio):
    """Makes a parameter anew in each pass, of which no optimizer knows."""

    def after(self, index, x):
        old = self.two.weight
        self.two.weight = nn.Parameter(old.detach().clone(), old.requires_grad)
        return x


class AddsParameters(Trio):
    """Makes a further parameter when it first runs."""

    def after(self, index, x):
        if "extra" not in self._parameters:
            self.extra = nn.Parameter(torch.ones(()))
        return x * self.extra


def step_by_itself(value: Tensor) -> None:
    value.data.sub_(value.grad, alpha=0.1)


class StepsInBackward(Trio):
    """Moves a parameter as soon as it has a gradient, as optimizers in backward do."""

    hooked = False

    def after(self, index, x):
        if self.training and not self.hooked:
            self.hooked = True
            self.two.weight.register_post_accumulate_grad_hook(step_by_itself)
        return x


class FixesInTrain(Trio):
    """Thaws in forward what its author had fixed."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(in_channels)
        self.two.bias.requires_grad_(False)

    def after(self, index, x):
        if self.training and index == 2:
            self.two.bias.data += 0.01
        return x


class Remembering(nn.Conv2d):
    learned = False

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.learned = self.learned or self.weight.requires_grad
        if self.learned:
            self.seen += 1
        return super().forward(x)


class RemembersLearning(Trio):
    """Once it has learned, a buffer moves whatever is frozen."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(in_channels)
        self.one = Remembering(in_channels, 8, 3, 2, 1)


class NamesNoParameter(Trio):
    """Spares a parameter from weight decay that does not exist."""

    no_weight_decay = frozenset({"one.wieght"})


class NamesAText(Trio):
    """Forgets that one name is no set of names."""

    no_weight_decay = "one.weight"


class GivesMoreInTrain(Trio):
    """Gives an auxiliary answer beside its features in train mode."""

    def forward(self, x, reads):
        features = super().forward(x, reads)
        return (features, features.vector) if self.training else features


class GivesOtherMapsInTrain(Trio):
    """Gives finer maps in train mode."""

    def forward(self, x, reads):
        features = super().forward(x, reads)
        if not self.training:
            return features
        return features._replace(
            maps=tuple(functional.interpolate(value, scale_factor=2) for value in features.maps)
        )


class CrashesInTrain(Trio):
    """Needs a batch of four in train mode."""

    def after(self, index, x):
        assert not self.training or len(x) >= 4, "the batch is too small"
        return x


class DividesInTrain(Trio):
    """Divides by zero in train mode."""

    def after(self, index, x):
        return x / (x - x.detach()).abs().sum() if self.training else x


class DropsOtherwiseAgain(Trio):
    """Computes a part again in the backward pass, with other dropouts."""

    def after(self, index, x):
        if index != 1 or not self.training:
            return x
        return checkpoint(
            functional.dropout, x, 0.5, True, use_reentrant=False, preserve_rng_state=False
        )


class RootsOfNothing(Trio):
    """Has a finite value with a slope that is not."""

    def after(self, index, x):
        return x + torch.sqrt((x - x.detach()).abs()) if index == 1 else x


class OwnNoise(Trio):
    """Draws its noise from a generator of its own, which nothing saves."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(in_channels)
        self.draw = random.Random(0)

    def after(self, index, x):
        return x * (1 + 0.1 * self.draw.random()) if self.training else x


class WarmsUp(Trio):
    """Counts its training steps in a plain attribute."""

    steps = 0

    def after(self, index, x):
        if self.training and index == 0:
            self.steps += 1
        return x * min(1.0, 0.5 + self.steps / 10)


class ProjectsAtRandom(Trio):
    """Mixes channels by a matrix that is drawn when it is built, and not saved."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(in_channels)
        self.register_buffer("mix", torch.randn(8, 8) / 8, persistent=False)

    def after(self, index, x):
        return torch.einsum("b c h w, c d -> b d h w", x, self.mix) if index == 0 else x


class KeepsATable(Trio):
    """Computes a table from its weights once, in eval mode, and never again."""

    table = None

    def after(self, index, x):
        if self.training or index != 1:
            return x * self.two.bias.exp().view(-1, 1, 1) if index == 1 else x
        if self.table is None:
            self.table = self.two.bias.exp().view(-1, 1, 1)
        return x * self.table


class Blind(Trio):
    """Answers without looking."""

    def after(self, index, x):
        return x * 0 + self.one.bias.view(-1, 1, 1) if index == 0 else x


class Whispers(Trio):
    """Tells other instances, through the class, what it has seen since the mode last changed."""

    told: ClassVar[WeakKeyDictionary] = WeakKeyDictionary()

    def train(self, mode: bool = True):
        self.told.clear()
        return super().train(mode)

    def forward(self, x, reads):
        features = super().forward(x, reads)
        others = [value for key, value in self.told.items() if key is not self]
        self.told[self] = x.detach().mean()
        if features.vector is None:
            return features
        return features._replace(vector=features.vector + sum(others))


EVIL: dict[type[fk.Backbone], set[str]] = {
    HoldsALock: {"composes"},
    AlwaysDrops: {"frozen_branch_is_silent"},
    AlwaysDraws: {"frozen_branch_is_silent"},
    SubtractsTheBatch: {"frozen_branch_is_silent"},
    HidesANorm: {"frozen_branch_is_silent"},
    CountsAlways: {"frozen_branch_keeps_every_bit"},
    NormalisesItsWeight: {"frozen_branch_keeps_every_bit"},
    MovesAPlainMean: {"frozen_branch_keeps_every_bit"},
    HeatsUp: {"frozen_branch_keeps_every_bit"},
    SharesABuffer: {"every_suffix_keeps_its_frozen_part"},
    LearnsFromItself: {"every_suffix_keeps_its_frozen_part", "modes_by_hand_are_refused"},
    AsksTheWrongStage: {"frozen_stages_compute_the_same", "modes_by_hand_are_refused"},
    WakesItsNoise: {"modes_follow_the_policy"},
    IgnoresItsMode: {"modes_follow_the_policy"},
    NeverTrains: {"modes_follow_the_policy"},
    ReturnsNothing: {"modes_follow_the_policy"},
    HidesItsNoise: {"modes_by_hand_are_refused"},
    HidesItsMode: {"modes_follow_the_policy"},
    HeatsInTrain: {"modes_follow_the_policy"},
    CutsItsStem: {"nothing_learnable_is_cut_off"},
    CutsItsVector: {"nothing_learnable_is_cut_off"},
    CutsItsLogits: {"nothing_learnable_is_cut_off"},
    CutsItsMiddle: {"nothing_learnable_is_cut_off"},
    UsesData: {"nothing_learnable_is_cut_off"},
    CutsInTrain: {"what_learns_gets_a_gradient"},
    CutsTooMuch: {"what_learns_gets_a_gradient"},
    MakesParameters: {"what_learns_gets_a_gradient"},
    AddsParameters: {"trains"},
    StepsInBackward: {"thawing_restores", "ranks_stay_equal"},
    FixesInTrain: {"thawing_restores"},
    RemembersLearning: {"freezing_again_holds"},
    NamesNoParameter: {"no_weight_decay_names_parameters"},
    NamesAText: {"no_weight_decay_names_parameters"},
    GivesMoreInTrain: {"trains"},
    GivesOtherMapsInTrain: {"trains"},
    CrashesInTrain: {"trains"},
    DividesInTrain: {"trains"},
    DropsOtherwiseAgain: {"trains"},
    RootsOfNothing: {"trains"},
    OwnNoise: {"resumed_training_goes_on"},
    WarmsUp: {"resumed_training_goes_on"},
    ProjectsAtRandom: {"resumed_training_goes_on"},
    KeepsATable: {"resumed_training_goes_on"},
    Blind: {"branches_keep_to_themselves"},
    Whispers: {"branches_keep_to_themselves"},
}
"""Each evil backbone, and the checks that fail for it: one, but where another cannot but fail."""
