"""What is asked of a backbone about freezing, thawing and training."""

from __future__ import annotations

from fusionkit.testing.backbones.learning.by_hand import modes_by_hand_are_refused
from fusionkit.testing.backbones.learning.frozen import (
    frozen_branch_is_silent,
    frozen_branch_keeps_every_bit,
)
from fusionkit.testing.backbones.learning.groups import (
    no_weight_decay_names_parameters,
    rates_keep_their_ratios,
)
from fusionkit.testing.backbones.learning.modes import modes_follow_the_policy
from fusionkit.testing.backbones.learning.ranks import ranks_stay_equal
from fusionkit.testing.backbones.learning.resume import resumed_training_goes_on
from fusionkit.testing.backbones.learning.suffixes import (
    every_suffix_keeps_its_frozen_part,
    freezing_again_holds,
    frozen_stages_compute_the_same,
    thawing_restores,
)
from fusionkit.testing.backbones.learning.trains import (
    composes,
    nothing_learnable_is_cut_off,
    trains,
    what_learns_gets_a_gradient,
)
from fusionkit.testing.backbones.learning.wiring import branches_keep_to_themselves
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Check

__all__ = ["CHECKS"]

CHECKS: tuple[Check[BackboneSubject], ...] = (
    no_weight_decay_names_parameters,
    rates_keep_their_ratios,
    composes,
    trains,
    modes_follow_the_policy,
    frozen_branch_keeps_every_bit,
    frozen_branch_is_silent,
    modes_by_hand_are_refused,
    nothing_learnable_is_cut_off,
    what_learns_gets_a_gradient,
    every_suffix_keeps_its_frozen_part,
    frozen_stages_compute_the_same,
    thawing_restores,
    freezing_again_holds,
    resumed_training_goes_on,
    branches_keep_to_themselves,
    ranks_stay_equal,
)
