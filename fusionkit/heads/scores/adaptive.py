"""A pool of branches that is to be no worse than the best of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fusionkit import Card, Features, FusionHead, HeadInput
from fusionkit.heads.parts.alignment import weigh_branches
from fusionkit.heads.parts.held_out import normalise
from fusionkit.heads.parts.minimise import minimise
from fusionkit.heads.parts.options import check_flag
from fusionkit.heads.parts.precision import at_least_float32
from fusionkit.heads.parts.probes import Folds, fit_probe, split
from fusionkit.heads.parts.scores import BranchScores
from fusionkit.heads.parts.weights import BranchWeights

__all__ = ["Adaptive"]

JOINT = "(joint)"
LEAST = 1e-3
"""The least weight, so that whatever is left when branches are absent has an answer."""

COUNTED = 10
"""As so many samples the weights by likeness are counted beside those held out."""

DOUBTED = 10
"""So many samples at most are taken to have been seen of other classes than they were."""

DOUBT = 0.01
"""The least weight that likeness can give."""


@final
class Adaptive(FusionHead):
    """Pools the branches and a joint classifier by held-out likelihood (Breiman, 1996).

    Gives log softmax(s Σ w_i log softmax(z_i)) over a linear classifier for each branch and one
    for all vectors side by side, with weights w on the simplex and a sharpness s. Meant to do no
    harm: a branch that helps nothing gets next to no weight, however few samples there are to
    see it.

    ``fusionkit.fit_head`` sets everything from the training samples of frozen branches: linear
    classifiers by logistic regression, how much each is penalised by five-fold cross-validation
    (repeated where samples are few), and then s and w, by the likelihood of the scores that each
    classifier gave to samples it was not fitted to. Labels are smoothed there as if one more
    sample had been seen of each class that occurs (Platt, 1999), of many classes ten in all: ten
    samples that all came out right prove no certainty. Of more than 2,000 samples (five of each
    class), so many judge penalties and weights, and all fit the classifiers.

    Which branch is worth how much is told by likeness too, which holds no sample out: by how well
    what is alike in a branch is of one class (Cortes et al., 2012). In the joint classifier each
    vector makes up its share of the whole, and w is drawn towards these shares as if ten more
    samples had spoken for them: with few labels that decides, with many it does not matter.

    It can be trained by gradient too, and starts as the geometric mean of new classifiers. Where
    branches were fine-tuned, fit to samples that these have not seen; ``refit=False`` then keeps
    the trained classifiers and sets s and w alone.

    A branch whose stock classifier has ``num_classes`` classes is read by its logits, any other
    by its vector. Where a branch is absent the joint classifier is too, and the weights of the
    others are made 1 together.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the scores.
        norm: what comes before each linear classifier, for all or by branch: ``"l2"`` and
            ``"layer"`` suit the vectors of networks; ``"batch"`` suits measurements in units of
            their own, and standardises them; or ``"none"``.
        joint: whether there is a classifier on the vectors of all branches.
        refit: whether a fit sets the linear classifiers too.

    Raises:
        ConfigError: an option's value is wrong.
    """

    takes_logits = True
    takes_missing = True
    fits = True

    card = Card(
        formula="softmax(s Σ w_i log softmax(z_i)), one z_i on [x_1; ...; x_N]",
        papers=(
            "Breiman, Machine Learning 24(1), 1996",
            "van der Laan et al., Super Learner, 2007",
            "Cortes et al., Kernels by Centered Alignment, 2012",
        ),
        reads="scores",
        when="The one to begin with, most of all with frozen branches and few labels: fitted in "
        "seconds, and meant to be no worse than the best branch. Not where the branches are to "
        "be trained through it from the start.",
        each=("norm", "classifier", "log softmax"),
        join="weighted mean, with a joint classifier",
        after=("times s", "log softmax"),
        recommended=True,
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        norm: Any = "l2",
        joint: bool = True,
        refit: bool = True,
    ) -> None:
        super().__init__()
        self.scores = BranchScores(inputs, num_classes, norm=norm)
        self.reads = self.scores.reads
        self.refit = check_flag("refit", refit)
        self.num_classes = num_classes
        vectors = list(self.scores.classifiers)
        self.joint: nn.Linear | None = None
        if check_flag("joint", joint) and len(vectors) > 1:
            self.joint = nn.Linear(sum(inputs[name].embed_dim for name in vectors), num_classes)
        self.weights = BranchWeights(
            [*self.scores.names, *([JOINT] if self.joint else [])], "learned"
        )
        self.log_sharpness = nn.Parameter(torch.zeros(()))

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives log-probabilities "b k" in float32 or wider."""
        scores = self._score(features)
        pooled = self.weights.average({name: each.log_softmax(-1) for name, each in scores.items()})
        return (at_least_float32(self.log_sharpness).exp() * pooled).log_softmax(-1)

    def branch_scores(self, features: Mapping[str, Features]) -> dict[str, Tensor]:
        """Gives what each branch says by itself."""
        scores: dict[str, Tensor] = self.scores(features)
        return scores

    def _score(self, features: Mapping[str, Features]) -> dict[str, Tensor]:
        """Gives the scores of all that are pooled; the joint ones where all branches are there."""
        scores = self.branch_scores(features)
        if self.joint is not None and len(scores) == len(self.scores.names):
            joined = torch.cat(
                [self._vector(name, features) for name in self.scores.classifiers], 1
            )
            scores[JOINT] = at_least_float32(self.joint(joined))
        return scores

    def _vector(self, name: str, features: Mapping[str, Features]) -> Tensor:
        """Gives what the linear classifiers see of one branch."""
        norm: nn.Module = self.scores.classifiers[name].norm  # type: ignore[assignment]
        vector: Tensor = norm(features[name].vector)
        return vector

    @torch.no_grad()
    def fit(self, features: Mapping[str, Features], labels: Tensor) -> None:
        """Sets classifiers, weights and sharpness.

        Raises:
            DataError: classifiers are to be fitted, and no class has two samples.
        """
        if self.refit and self.scores.classifiers:
            folds = split(labels, self.num_classes)
            held, prior = self._fit_classifiers(features, labels, folds)
            known = labels[folds.rows]
        else:
            held = {name: each[None].double() for name, each in self._score(features).items()}
            prior, known = labels.new_zeros(len(held), dtype=torch.float64), labels
        self._fit_pool([held[name].log_softmax(-1) for name in self.weights.names], known, prior)

    def _fit_classifiers(
        self, features: Mapping[str, Features], labels: Tensor, folds: Folds
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Sets the linear classifiers.

        Returns:
            Held-out scores "r n k" of all that is pooled, and the weights by likeness.
        """
        held = {}
        for name, each in self.scores(features).items():
            held[name] = each[folds.rows].expand(len(folds.dealt), -1, -1)
        vectors = {}
        layers: dict[str, Any] = {}
        for name, classifier in self.scores.classifiers.items():
            vectors[name] = normalise(classifier, features[name])
            layers[name] = classifier.linear
        shares = weigh_branches(list(vectors.values()), labels)
        prior = self._prior(dict(zip(vectors, shares.tolist(), strict=True)))
        blocks = {name: [vector] for name, vector in vectors.items()}
        if self.joint is not None:
            blocks[JOINT] = list(vectors.values())
            layers[JOINT] = self.joint
        for name, layer in layers.items():
            weighed = shares if name == JOINT else None
            probe = fit_probe(blocks[name], labels, self.num_classes, folds, weighed)
            layer.weight.copy_(probe.weight)
            layer.bias.copy_(probe.bias)
            held[name] = probe.held_out
        return {name: each.double() for name, each in held.items()}, prior

    def _prior(self, shares: Mapping[str, float]) -> Tensor:
        """Gives what likeness has to say of the weights, from the shares of what has vectors.

        Of scores that a branch brings along it says nothing, which a 0 stands for. The joint
        classifier, which keeps to the shares itself, has as much as all others together.
        """
        known = {**shares, JOINT: 1.0}
        told = [name in known for name in self.weights.names]
        weights = [known.get(name, 0.0) for name in self.weights.names]
        prior = torch.tensor(weights, dtype=torch.float64)
        prior = torch.where(torch.tensor(told), prior.clamp_min(DOUBT), 0)
        return prior / prior.sum()

    def _fit_pool(self, held: list[Tensor], labels: Tensor, prior: Tensor) -> None:
        """Sets weights and sharpness by the likelihood of held-out log-probabilities "r n k".

        Those weights of which ``prior`` says something, each more than 0, are drawn towards it.
        """
        stacked = torch.stack(held)
        repeats, count, classes = stacked.shape[1:]
        seen = (labels.bincount(minlength=classes) > 0).to(stacked)
        doubted = seen.sum().clamp_max(DOUBTED)
        targets = F.one_hot(labels, classes) * count + doubted * seen / seen.sum()
        targets = (targets / (count + doubted)).repeat(repeats, 1)
        prior = prior.to(stacked)
        told = prior > 0

        def loss(free: Tensor) -> Tensor:
            shares = free[1:].softmax(0) * free[0].exp()
            pooled = torch.tensordot(shares, stacked, 1).flatten(0, 1)
            misfit = F.cross_entropy(pooled, targets)
            departure = -(prior[told] * free[1:][told].log_softmax(0)).sum()
            return misfit + COUNTED / count * departure

        found = minimise(loss, stacked.new_zeros(len(stacked) + 1))
        self.log_sharpness.copy_(found[0])
        shares = found[1:].softmax(0).clamp_min(LEAST)
        assert self.weights.log_weights is not None
        self.weights.log_weights.copy_((shares / shares.sum()).log())
