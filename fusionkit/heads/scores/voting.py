"""Votes of the branches: for inference only, since no gradient flows through a vote."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import reduce
from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fusionkit import AssemblyError, Card, Features, FusionHead, HeadInput
from fusionkit.heads.parts.held_out import fit_classifiers
from fusionkit.heads.parts.scores import BranchScores

__all__ = ["MajorityVote", "RankVote", "Voting"]


class Voting(FusionHead):
    """Lets each branch vote, and counts.

    The votes come from the logits of branches whose stock classifier has ``num_classes``
    classes, and from linear layers over the vectors of the others. ``fusionkit.fit_head`` fits
    these; or train them under ``mean_probabilities``, whose parameters have the same names.

    The branches' mean probability counts as one vote more, spread over the classes: it decides
    between classes with equally many votes, and never against one more vote. The output is the
    logarithm of each class's share of all votes. Branches whose input is absent do not vote.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the scores.
        norm: what comes before the linear layers: ``"layer"``, ``"batch"``, ``"l2"`` or
            ``"none"``, one for all or by branch.

    Raises:
        ConfigError: an option's value is wrong.
    """

    takes_logits = True
    takes_missing = True
    fits = True
    trains = False

    def __init__(
        self, inputs: Mapping[str, HeadInput], *, num_classes: int, norm: Any = "layer"
    ) -> None:
        super().__init__()
        self.scores = BranchScores(inputs, num_classes, norm=norm).requires_grad_(False)
        self.reads = self.scores.reads
        self.symmetric = not self.scores.classifiers

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives the logarithms "b k" of shares, in eval mode.

        Raises:
            AssemblyError: the head is in train mode.
        """
        if self.training:
            raise AssemblyError(
                f"{type(self).__name__} is for inference: no gradient flows through a vote. "
                "Train under another head, such as 'mean_probabilities', load its state dict "
                "here and call eval(); or fit it with fusionkit.fit_head"
            )
        scores = self.scores(features)
        votes = [self.vote(score) for score in scores.values()]
        chances = [score.softmax(-1) for score in scores.values()]
        count = reduce(torch.add, votes) + reduce(torch.add, chances) / len(chances)
        floor = torch.finfo(count.dtype).tiny
        shares: Tensor = count / count.sum(-1, keepdim=True)
        return shares.clamp_min(floor).log()

    def branch_scores(self, features: Mapping[str, Features]) -> dict[str, Tensor]:
        """Gives what each branch says by itself, before it votes."""
        scores: dict[str, Tensor] = self.scores(features)
        return scores

    def fit(self, features: Mapping[str, Features], labels: Tensor) -> None:
        """Sets the linear layers of branches without a stock classifier.

        Raises:
            AssemblyError: every branch has a stock classifier.
        """
        if not self.scores.classifiers:
            raise AssemblyError(
                f"{type(self).__name__} counts the votes of the branches' own classifiers, and "
                "has nothing to fit"
            )
        fit_classifiers(self.scores, features, labels)

    @abstractmethod
    def vote(self, scores: Tensor) -> Tensor:
        """Gives one branch's votes "b k" from its unnormalised scores "b k".

        Probabilities would not do: far from the largest, all of them round to zero.
        """


@final
class MajorityVote(Voting):
    """Majority voting: one vote per branch for its most probable class (Hansen, Salamon, 1990).

    Gives log((Σ [k = argmax p_i] + mean p_ik) / (N + 1)), for inference only.

    Note:
        See ``Voting`` for the options.
    """

    card = Card(
        formula="log((Σ [k = argmax p_i] + mean p_ik) / (N + 1))",
        papers=("Hansen and Salamon, IEEE TPAMI 12(10), 1990",),
        reads="scores",
        when="Three branches or more whose probabilities cannot be compared. Inference only; "
        "with two branches the mean probability decides wherever they differ.",
        each=("classifier", "argmax"),
        join="count votes",
        after=("share",),
    )

    def vote(self, scores: Tensor) -> Tensor:
        """Gives 1 for the most probable class, and 0 for the others."""
        return F.one_hot(scores.argmax(-1), scores.shape[-1]).to(scores.dtype)


@final
class RankVote(Voting):
    """Ranked voting: a point for each class that a branch ranks lower (Borda; Ho et al., 1994).

    Gives log of the shares of Σ r_ik + mean p_ik, where r_ik is the number of classes that
    branch i finds less probable than class k, so that equally probable ones get equal points;
    for inference only.

    Note:
        See ``Voting`` for the options.
    """

    card = Card(
        formula="log share of Σ rank_i(k) + mean p_ik",
        papers=("Ho, Hull and Srihari, IEEE TPAMI 16(1), 1994",),
        reads="scores",
        when="Branches whose order of the classes can be trusted more than their "
        "probabilities. Inference only; with two classes it is majority_vote.",
        each=("classifier", "rank"),
        join="sum of ranks",
        after=("share",),
    )

    def vote(self, scores: Tensor) -> Tensor:
        """Gives how many classes have lower scores than each."""
        ordered, places = scores.sort(-1)
        higher = (ordered[:, 1:] > ordered[:, :-1]).long()
        run = F.pad(higher.cumsum(-1), (1, 0))  # equal scores are one run
        length = torch.zeros_like(run).scatter_add(-1, run, torch.ones_like(run))
        lower = (length.cumsum(-1) - length).gather(-1, run)
        return torch.zeros_like(scores).scatter(-1, places, lower.to(scores.dtype))
