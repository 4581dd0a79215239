"""Keeps a branch that learns fast from leaving the others behind, in any training loop.

``score`` gives the fused answer and each branch's own from one pass; ``AuxiliaryLoss`` adds a loss
for each branch, ``GradientBlending`` finds the weights of these losses, and
``OGMGE`` slows the branch that leads.
"""

from __future__ import annotations

from fusionkit.balance.blending import GradientBlending
from fusionkit.balance.losses import AuxiliaryLoss, Losses, average_losses, branch_losses
from fusionkit.balance.modulation import OGMGE
from fusionkit.balance.scores import ScoredModel, Scores, score
from fusionkit.balance.weights import LossWeights

__all__ = [
    "OGMGE",
    "AuxiliaryLoss",
    "GradientBlending",
    "Losses",
    "ScoredModel",
    "Scores",
    "LossWeights",
    "average_losses",
    "branch_losses",
    "score",
]
