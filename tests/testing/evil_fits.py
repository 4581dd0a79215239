"""Heads with one planted fault each in what they are fitted to, or in what they refuse."""

from __future__ import annotations

import torch
from evil_heads import Evil, Good

import fusionkit as fk


class Fits(Good):
    """Is fitted by ridge regression, one branch after the other, to what is left over."""

    def fit(self, features, labels):
        left = torch.eye(self.num_classes, dtype=torch.float64)[labels]
        for name, vector in self.prepare(features).items():
            x = torch.cat([vector.double(), torch.ones(len(labels), 1, dtype=torch.float64)], 1)
            gram = x.T @ x + torch.eye(x.shape[1], dtype=torch.float64)
            found = torch.linalg.solve(gram, x.T @ left)
            left = left - x @ found
            self.set(self.out[name], found)

    def prepare(self, features):
        return {name: features[name].vector for name in self.names}

    def set(self, layer, found):
        layer.weight.copy_(found[:-1].T)
        layer.bias.copy_(found[-1])


class GoesOn(Fits):
    """Starts from what was fitted before."""

    def make(self, inputs):
        super().make(inputs)
        for value in self.out.parameters():
            torch.nn.init.zeros_(value)

    def set(self, layer, found):
        layer.weight.add_(found[:-1].T)
        layer.bias.add_(found[-1])


class FitsByChance(Fits):
    """Draws what it is fitted with from everybody's random numbers."""

    def set(self, layer, found):
        super().set(layer, found + 1e-3 * torch.randn(found.shape))


class FitsInOrder(Fits):
    """Fits first the branch that is handed in first."""

    def prepare(self, features):
        return {name: each.vector for name, each in features.items()}


class FitsToOthers(Fits):
    """Fits to labels that are not the samples'."""

    def fit(self, features, labels):
        super().fit(features, labels.flip(0))


class FitsNothing(Fits):
    """Overrides fit, and does nothing."""

    def fit(self, features, labels):
        pass


class FitsTheFirst(Fits):
    """Fits one branch, and leaves the others as they were drawn."""

    def fit(self, features, labels):
        first = self.names[0]
        rest = {name: torch.zeros_like(each.vector) for name, each in features.items()}
        self.prepare = lambda _: {**rest, first: features[first].vector}
        super().fit(features, labels)
        del self.prepare


class CountsFromZero(Fits):
    """Takes the first class that occurs for class 0."""

    def fit(self, features, labels):
        super().fit(features, labels - labels.min())


class MakesParameters(Fits):
    """Sets new parameters in place of those that an optimizer knows."""

    def set(self, layer, found):
        layer.weight = torch.nn.Parameter(found[:-1].T.float().contiguous())
        layer.bias = torch.nn.Parameter(found[-1].float())


class FreezesWhatItFits(Fits):
    """Lets nothing learn after a fit."""

    def fit(self, features, labels):
        super().fit(features, labels)
        self.requires_grad_(False)


class SeedsTheFit(Fits):
    """Sets everybody's seed, so that its own draws are the same each time."""

    def fit(self, features, labels):
        torch.manual_seed(0)
        super().fit(features, labels)


class LeavesAbsentClasses(Fits):
    """Sets the rows of classes that occur, and leaves the others as they are."""

    def fit(self, features, labels):
        before = {name: layer.weight.clone() for name, layer in self.out.items()}
        super().fit(features, labels)
        absent = labels.bincount(minlength=self.num_classes) == 0
        for name, layer in self.out.items():
            layer.weight[absent] = before[name][absent]


class DividesBySpread(Fits):
    """Divides by a spread that may be zero."""

    def make(self, inputs):
        super().make(inputs)
        for name in self.names:
            self.register_buffer(f"spread_{name}", torch.ones(inputs[name].embed_dim))

    def fit(self, features, labels):
        for name in self.names:
            spread = features[name].vector.std(0, correction=0)
            self.get_buffer(f"spread_{name}").copy_(spread)
        super().fit(features, labels)

    def prepare(self, features):
        return {
            name: features[name].vector / self.get_buffer(f"spread_{name}") for name in self.names
        }

    def score(self, name, each):
        return self.out[name](each.vector / self.get_buffer(f"spread_{name}"))


class SaysThatItFits(Good):
    """Says that it fits, and has nothing that does."""

    fits = True


class FitsToNothing(Fits):
    """Divides by zero."""

    def set(self, layer, found):
        super().set(layer, found / 0)


class ForgetsTheFit(Fits):
    """Keeps a part of the fit where no state dict finds it."""

    gain = 1.0

    def fit(self, features, labels):
        super().fit(features, labels)
        self.gain = 1.0 + float(labels.double().mean())

    def add(self, scores):
        return super().add(scores) * self.gain


class NeedsThreeOfEach(Fits):
    """Fails with fewer samples than it would like."""

    def fit(self, features, labels):
        if labels.bincount()[labels].min() < 3:
            raise ValueError("too few")
        super().fit(features, labels)


class NeedsEveryClass(Fits):
    """Divides by how many samples of each class there are."""

    def fit(self, features, labels):
        super().fit(features, labels)
        counts = torch.bincount(labels, minlength=self.num_classes)
        for layer in self.out.values():
            layer.bias.add_(counts.max() / counts - 1)


class CentresInPlace(Fits):
    """Takes the mean off the samples in place."""

    def prepare(self, features):
        vectors = super().prepare(features)
        for vector in vectors.values():
            vector.sub_(vector.mean(0))
        return vectors


class EatsSamples(Fits):
    """Takes the branches out of the mapping."""

    def prepare(self, features):
        return {name: features.pop(name).vector for name in self.names}


class VotesInTraining(Good):
    """Says that it cannot be trained, and answers in train mode all the same."""

    trains = False


class BreaksInTraining(Good):
    """Cannot be trained, and fails with an error that says nothing of it."""

    trains = False

    def add(self, scores):
        if self.training:
            raise RuntimeError("no")
        return super().add(scores)


class RefusesSilently(Good):
    """Cannot be trained, and refuses without a word."""

    trains = False

    def add(self, scores):
        if self.training:
            raise fk.AssemblyError
        return super().add(scores)


EVIL_FITS = (
    Evil(GoesOn, "fit_is_repeatable"),
    Evil(FitsByChance, "fit_is_repeatable", ("fit_draws_from_its_own",)),
    Evil(FitsInOrder, "fit_does_not_mind_order"),
    Evil(FitsToOthers, "fit_learns"),
    Evil(FitsNothing, "fit_learns"),
    Evil(FitsTheFirst, "fit_learns", ("fit_does_not_mind_order",)),
    Evil(CountsFromZero, "fit_learns"),
    Evil(MakesParameters, "fit_keeps_its_parameters"),
    Evil(FreezesWhatItFits, "fit_keeps_its_parameters"),
    Evil(SeedsTheFit, "fit_draws_from_its_own"),
    Evil(LeavesAbsentClasses, "fit_is_repeatable"),
    Evil(DividesBySpread, "fit_takes_few_samples"),
    Evil(SaysThatItFits, "fits_as_it_says"),
    Evil(FitsToNothing, "fit_learns", ("fit_takes_few_samples", "fit_takes_missing_classes")),
    Evil(ForgetsTheFit, "fit_is_saved"),
    Evil(NeedsThreeOfEach, "fit_takes_few_samples"),
    Evil(NeedsEveryClass, "fit_takes_missing_classes"),
    Evil(CentresInPlace, "fit_changes_no_samples"),
    Evil(EatsSamples, "fit_changes_no_samples"),
    Evil(VotesInTraining, "refuses_to_train"),
    Evil(BreaksInTraining, "refuses_to_train"),
    Evil(RefusesSilently, "refuses_to_train"),
)
