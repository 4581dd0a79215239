"""What is asked of a backbone about what it declares, and what comes out."""

from __future__ import annotations

from fusionkit.testing.backbones.forward.anatomy import (
    every_parameter_is_in_one_block,
    has_several_stages,
    stages_run_in_order,
)
from fusionkit.testing.backbones.forward.batches import (
    rows_are_independent,
    takes_a_batch_of_one,
    training_gives_the_same_form,
)
from fusionkit.testing.backbones.forward.channels import (
    first_layers_follow_the_channels,
    other_channel_counts_work,
)
from fusionkit.testing.backbones.forward.classifier import classifier_is_kept_on_request
from fusionkit.testing.backbones.forward.declarations import preprocessing_fits
from fusionkit.testing.backbones.forward.derivatives import gradients_are_derivatives
from fusionkit.testing.backbones.forward.evaluation import (
    eval_has_no_side_effects,
    eval_is_deterministic,
)
from fusionkit.testing.backbones.forward.examples import example_is_accepted_and_fixed
from fusionkit.testing.backbones.forward.factory import (
    each_call_builds_anew,
    everything_is_registered,
)
from fusionkit.testing.backbones.forward.gradients import every_parameter_learns
from fusionkit.testing.backbones.forward.precision import (
    runs_in_double_precision,
    runs_under_autocast,
)
from fusionkit.testing.backbones.forward.reading import only_what_is_read_comes
from fusionkit.testing.backbones.forward.refusals import (
    unknown_options_are_refused,
    wrong_inputs_are_refused,
)
from fusionkit.testing.backbones.forward.shapes import (
    levels_are_as_declared,
    vector_is_as_declared,
)
from fusionkit.testing.backbones.forward.sizes import other_sizes_are_refused_or_run
from fusionkit.testing.backbones.forward.stock import equals_the_providers_model
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Check

__all__ = ["CHECKS"]

CHECKS: tuple[Check[BackboneSubject], ...] = (
    # what is declared; next to nothing is run
    every_parameter_is_in_one_block,
    has_several_stages,
    preprocessing_fits,
    example_is_accepted_and_fixed,
    wrong_inputs_are_refused,
    unknown_options_are_refused,
    each_call_builds_anew,
    everything_is_registered,
    first_layers_follow_the_channels,
    # one or two passes each
    vector_is_as_declared,
    levels_are_as_declared,
    stages_run_in_order,
    eval_is_deterministic,
    takes_a_batch_of_one,
    rows_are_independent,
    training_gives_the_same_form,
    equals_the_providers_model,
    # more
    eval_has_no_side_effects,
    only_what_is_read_comes,
    other_sizes_are_refused_or_run,
    other_channel_counts_work,
    classifier_is_kept_on_request,
    every_parameter_learns,
    gradients_are_derivatives,
    runs_in_double_precision,
    runs_under_autocast,
)
