"""Scores of samples that the classifiers have not seen, to fit what joins them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fusionkit import DataError, Features
from fusionkit.heads.parts.folds import FOLDS, deal_folds
from fusionkit.heads.parts.linear_classifier import fit_linear
from fusionkit.heads.parts.norms import WholeBatchNorm
from fusionkit.heads.parts.scores import BranchScores

__all__ = ["fit_classifiers", "held_out_scores", "normalise"]


@torch.no_grad()
def fit_classifiers(scores: BranchScores, features: Mapping[str, Features], labels: Tensor) -> None:
    """Sets the linear layers of branches without a stock classifier by logistic regression."""
    for name, classifier in scores.classifiers.items():
        linear = _linear(classifier)
        x = normalise(classifier, features[name])
        weight, bias = fit_linear(x, labels, linear.out_features)
        linear.weight.copy_(weight)
        linear.bias.copy_(bias)


@torch.no_grad()
def held_out_scores(
    scores: BranchScores, features: Mapping[str, Features], labels: Tensor, *, refit: bool
) -> tuple[dict[str, Tensor], Tensor]:
    """Gives scores "n k" by branch, in float64, and the labels "n" of the samples they are of.

    What a classifier says of samples to which it was fitted is better than what it says of
    others. Where linear layers are fitted, those that score a fifth of the samples are therefore
    fitted to the others; a sample that is the only one of its class is left out, since no
    layer that has not seen it can know the class. Stock classifiers are taken not to have seen
    the samples.

    Args:
        scores: whose branches are scored; batch norms take the samples' statistics.
        features: of all samples.
        labels: of all samples.
        refit: whether there will be new linear layers; if not, those that are there are used,
            as if they had not seen the samples.

    Raises:
        DataError: no class has two samples.
    """
    if not refit or not scores.classifiers:
        return {name: each.detach().double() for name, each in scores(features).items()}, labels
    kept = labels.bincount()[labels] > 1
    if not kept.any():
        raise DataError(
            "linear layers are to be fitted, and no class has two samples, one to fit them and "
            "one to see what they say of others; hand over more samples, or keep branches' own "
            "classifiers and hand over samples that these have not seen"
        )
    (folds,) = deal_folds(labels, 1)
    found = {}
    for name in scores.names:
        if name in scores.classifiers:
            classifier = scores.classifiers[name]
            x = normalise(classifier, features[name]).double()
            found[name] = _score_in_turn(x, labels, folds, _linear(classifier).out_features)
        else:
            logits = features[name].logits
            assert logits is not None
            found[name] = logits.detach().double()
    return {name: each[kept] for name, each in found.items()}, labels[kept]


def normalise(classifier: nn.Module, feature: Features) -> Tensor:
    """Gives what the linear layer sees of all samples, whose statistics a batch norm takes."""
    norm = classifier.norm
    assert feature.vector is not None
    assert isinstance(norm, nn.Module)
    x = feature.vector.detach().to(_linear(classifier).weight.dtype)
    if isinstance(norm, WholeBatchNorm):
        norm.measure(x)
    normed: Tensor = norm.eval()(x)
    return normed


def _linear(classifier: nn.Module) -> nn.Linear:
    linear = classifier.linear
    assert isinstance(linear, nn.Linear)
    return linear


def _score_in_turn(x: Tensor, labels: Tensor, folds: Tensor, num_classes: int) -> Tensor:
    found = x.new_empty(len(x), num_classes)
    for fold in range(FOLDS):
        inside = folds == fold
        if not inside.any():
            continue
        weight, bias = fit_linear(x[~inside], labels[~inside], num_classes)
        found[inside] = x[inside] @ weight.T + bias
    return found
