"""Heads with one planted fault each in what they read of their branches, and how."""

from __future__ import annotations

import torch
from evil_heads import Evil, Good
from torch import nn

import fusionkit as fk


class BoastsOfAbsence(Good):
    """Says that branches may be absent, and looks for them all the same."""

    takes_missing = True


class NeedsAllOrOne(Good):
    """Answers from one branch and from all, and not from two of three."""

    takes_missing = True

    def forward(self, features):
        if 1 < len(features) < len(self.names):
            raise KeyError("a branch is absent")
        return self.add(
            [self.score(name, features[name]) for name in self.names if name in features]
        )


class ReadsMore(Good):
    """Declares vectors, and reads maps as well."""

    def score(self, name, each):
        return super().score(name, each) + each.maps[0].mean()


class ReadsMoreQuietly(Good):
    """Takes logits along where it happens to see some."""

    def score(self, name, each):
        score = super().score(name, each)
        return score if each.logits is None else score + each.logits.mean()


class TwoOnly(Good):
    """Fuses two branches, and takes a third without a word."""

    def make(self, inputs):
        self.names = self.names[:2]
        super().make(inputs)


class ReadsForNothing(Good):
    """Has maps computed that it never looks at."""

    def make(self, inputs):
        if not all(each.levels for each in inputs.values()):
            raise fk.AssemblyError("a branch has no maps")
        self.reads = fk.Reads(vector=True, maps=(-1,))
        super().make(inputs)


class WiredByOrder(Good):
    """Concatenates in the order in which features come."""

    def make(self, inputs):
        self.out = nn.Linear(sum(each.embed_dim for each in inputs.values()), self.num_classes)

    def forward(self, features):
        return self.out(torch.cat([each.vector for each in features.values()], -1))


class NumbersBranches(Good):
    """Names its layers by the order in which branches were given."""

    def make(self, inputs):
        self.places = {name: str(place) for place, name in enumerate(inputs)}
        self.out = nn.ModuleDict(
            {
                self.places[name]: nn.Linear(each.embed_dim, self.num_classes)
                for name, each in inputs.items()
            }
        )

    def score(self, name, each):
        return self.out[self.places[name]](each.vector)


class SharesByWidth(Good):
    """Gives branches of one width one projection."""

    def make(self, inputs):
        self.keys = {name: f"width{inputs[name].embed_dim}" for name in self.names}
        self.out = nn.ModuleDict(
            {
                self.keys[name]: nn.Linear(inputs[name].embed_dim, self.num_classes)
                for name in self.names
            }
        )

    def score(self, name, each):
        return self.out[self.keys[name]](each.vector)


class ChangesFeatures(Good):
    """Scales the features in place."""

    def score(self, name, each):
        return super().score(name, each._replace(vector=each.vector.mul_(0.5)))


class EatsFeatures(Good):
    """Takes the branches out of the mapping."""

    def forward(self, features):
        return self.add([self.score(name, features.pop(name)) for name in self.names])


class FlattensMaps(Good):
    """Has a linear layer for maps of one size."""

    def make(self, inputs):
        if not all(each.levels for each in inputs.values()):
            raise fk.AssemblyError("a branch has no maps")
        self.reads = fk.Reads(maps=(-1,))
        levels = {name: inputs[name].levels[-1] for name in self.names}
        self.out = nn.ModuleDict(
            {
                name: nn.Linear(level.channels * (64 // level.stride) ** 2, self.num_classes)
                for name, level in levels.items()
            }
        )

    def score(self, name, each):
        return self.out[name](each.maps[0].flatten(1))


class KeepsGradientsBack(Good):
    """Learns itself, and lets no branch learn."""

    def score(self, name, each):
        return super().score(name, each._replace(vector=each.vector.detach()))


class KeepsOneGradientBack(Good):
    """Lets no gradient through to the first of several branches."""

    def score(self, name, each):
        if name == self.names[0] and len(self.names) > 1:
            each = each._replace(vector=each.vector.detach())
        return super().score(name, each)


class RemembersTheAbsent(Good):
    """Puts what it saw last in the place of an absent branch."""

    takes_missing = True

    def make(self, inputs):
        super().make(inputs)
        self.last = {}

    def forward(self, features):
        for name, each in features.items():
            self.last[name] = self.score(name, each).mean(0).tolist()
        scores = [self.score(name, each) for name, each in features.items()]
        for name in self.last.keys() - features.keys():
            scores.append(torch.tensor(self.last[name]).to(scores[0]).expand_as(scores[0]))
        return self.add(scores)


class ClampsFeatures(Good):
    """Changes features in place, though not those that are small."""

    def score(self, name, each):
        each.vector.clamp_(-100, 100)
        return super().score(name, each)


class HoldsAPartStill(Good):
    """Lets gradients come to the first components only."""

    def score(self, name, each):
        still = torch.cat([each.vector[:, :2], each.vector[:, 2:].detach()], dim=1)
        return self.out[name](still)


class ReadsASlice(Good):
    """Reads as many components as the narrowest branch has."""

    def make(self, inputs):
        self.width = min(each.embed_dim for each in inputs.values())
        self.out = nn.ModuleDict(
            {name: nn.Linear(self.width, self.num_classes) for name in self.names}
        )

    def score(self, name, each):
        return self.out[name](each.vector[:, : self.width])


class ReadsTheBestOnly(Good):
    """Counts votes for the first classes only."""

    takes_logits = True
    trains = False

    def make(self, inputs):
        if not all(each.num_classes == self.num_classes for each in inputs.values()):
            raise fk.AssemblyError("every branch needs a classifier of its own")
        self.symmetric = True
        self.reads = "logits"

    def score(self, name, each):
        if self.training:
            raise fk.AssemblyError("it only votes")
        first = each.logits[:, :3].argmax(-1)
        return nn.functional.one_hot(first, self.num_classes).to(each.logits.dtype)


class WantsContiguous(Good):
    """Takes a vector for a row of memory."""

    def score(self, name, each):
        return self.out[name](each.vector.view(-1).view(each.vector.shape))


class ReadsMemory(Good):
    """Reads what lies one after the other in memory, whatever the strides."""

    def score(self, name, each):
        return self.out[name](each.vector.as_strided(each.vector.shape, (each.vector.shape[1], 1)))


class ScoresWhatIsAbsent(Good):
    """Says something of branches that are not there."""

    takes_missing = True

    def forward(self, features):
        return self.add([self.score(name, each) for name, each in features.items()])

    def branch_scores(self, features):
        given = {name: self.score(name, each) for name, each in features.items()}
        some = next(iter(given.values()))
        return {name: given.get(name, torch.zeros_like(some)) for name in self.names}


class ScoresBesideOthers(Good):
    """Gives the scores of single branches as what they are above the others'."""

    def branch_scores(self, features):
        scores = {name: self.score(name, features[name]) for name in self.names}
        mean = torch.stack(list(scores.values())).mean(0)
        return {name: 2 * each - mean for name, each in scores.items()}


class GivesVectorsAsScores(Good):
    """Gives for single branches what are no scores."""

    def branch_scores(self, features):
        return {name: each.vector for name, each in features.items()}


class SaysNothingApart(Good):
    """Has scores of single branches that are the same for all samples."""

    def branch_scores(self, features):
        return {name: self.score(name, each) * 0 for name, each in features.items()}


class KeepsApartBack(Good):
    """Gives scores of single branches of which no loss can be taken."""

    def branch_scores(self, features):
        return {name: self.score(name, each).detach() for name, each in features.items()}


class DrawsApart(Good):
    """Drops some of what single branches say, in eval mode too."""

    def branch_scores(self, features):
        scores = {name: self.score(name, each) for name, each in features.items()}
        return {name: nn.functional.dropout(each, 0.5) for name, each in scores.items()}


class CentresApart(Good):
    """Takes the batch's mean off what single branches say."""

    def branch_scores(self, features):
        scores = {name: self.score(name, each) for name, each in features.items()}
        return {name: each - each.mean(0) for name, each in scores.items()}


class MakesApartOnTheCpu(Good):
    """Adds to what single branches say a tensor that is where torch puts it."""

    def branch_scores(self, features):
        offsets = torch.arange(self.num_classes)
        return {name: self.score(name, each) + offsets for name, each in features.items()}


class Pools(Good):
    """Pools what a linear layer says of each place of the coarsest maps."""

    def make(self, inputs):
        if not all(each.levels for each in inputs.values()):
            raise fk.AssemblyError("a branch has no maps")
        self.reads = fk.Reads(maps=(-1,))
        self.out = nn.ModuleDict(
            {
                name: nn.Conv2d(inputs[name].levels[-1].channels, self.num_classes, 1)
                for name in self.names
            }
        )

    def score(self, name, each):
        return self.cut(self.out[name](each.maps[0])).flatten(2).mean(2)

    def cut(self, x):
        return x


class DropsABorder(Pools):
    """Leaves out the last column."""

    def cut(self, x):
        return x[..., : max(x.shape[-1] - 1, 1)]


class DropsTheFirstPlace(Pools):
    """Takes the first place of maps for a class token."""

    def cut(self, x):
        return x.flatten(2)[:, :, 1:] if x.shape[2] * x.shape[3] > 1 else x


EVIL_READS = (
    Evil(BoastsOfAbsence, "answers_without_a_branch"),
    Evil(NeedsAllOrOne, "answers_without_a_branch"),
    Evil(ReadsMore, "reads_only_what_it_declares"),
    Evil(ReadsMoreQuietly, "reads_only_what_it_declares"),
    Evil(TwoOnly, "each_branch_counts"),
    Evil(ReadsForNothing, "each_branch_counts"),
    Evil(WiredByOrder, "order_of_branches_is_free"),
    Evil(NumbersBranches, "order_of_branches_is_free"),
    Evil(SharesByWidth, "branches_are_told_apart"),
    Evil(ChangesFeatures, "features_stay_as_they_are", ("works_in_a_model",)),
    Evil(EatsFeatures, "features_stay_as_they_are"),
    Evil(FlattensMaps, "other_sizes"),
    Evil(KeepsGradientsBack, "gradients_reach_the_features", ("gradients_are_derivatives",)),
    Evil(KeepsOneGradientBack, "gradients_reach_the_features", ("gradients_are_derivatives",)),
    Evil(RemembersTheAbsent, "answers_without_a_branch"),
    Evil(ClampsFeatures, "features_stay_as_they_are", ("works_in_a_model",)),
    Evil(HoldsAPartStill, "gradients_reach_the_features", ("gradients_are_derivatives",)),
    Evil(ReadsASlice, "every_component_counts"),
    Evil(ReadsTheBestOnly, "every_component_counts"),
    Evil(WantsContiguous, "memory_layout_is_free"),
    Evil(ReadsMemory, "memory_layout_is_free"),
    Evil(ScoresWhatIsAbsent, "scores_of_single_branches"),
    Evil(ScoresBesideOthers, "scores_of_single_branches"),
    Evil(GivesVectorsAsScores, "scores_of_single_branches"),
    Evil(SaysNothingApart, "scores_of_single_branches"),
    Evil(KeepsApartBack, "scores_of_single_branches"),
    Evil(DrawsApart, "scores_of_single_branches"),
    Evil(CentresApart, "scores_of_single_branches"),
    Evil(MakesApartOnTheCpu, "everything_is_registered"),
    Evil(DropsABorder, "every_place_counts"),
    Evil(DropsTheFirstPlace, "every_place_counts"),
)
