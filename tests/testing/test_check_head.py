"""The kit for heads: good ones pass, and each planted fault is caught by the check that should."""

from __future__ import annotations

import unittest
from functools import partial

import pytest
import torch
from evil_fits import EVIL_FITS, Fits
from evil_head_numbers import EVIL_HEAD_COMPILERS, EVIL_HEAD_NUMBERS
from evil_head_reads import EVIL_READS, SaysNothingApart, TwoOnly
from evil_heads import EVIL_HEADS, Evil, Good, PlainList, UnevenGains
from good_heads import GOOD_HEADS

import fusionkit as fk
import fusionkit.testing as kit
from fusionkit.testing.heads.all import HEAD_CHECKS

ZOO = (*EVIL_HEADS, *EVIL_READS, *EVIL_HEAD_NUMBERS, *EVIL_FITS)


@pytest.mark.parametrize("evil", ZOO, ids=lambda evil: evil.make.__name__)
def test_each_fault_is_caught_by_its_check_and_by_no_other(evil: Evil):
    report = kit.check_head(evil.make, on_fail="report")
    assert {outcome.check for outcome in report.failures} == {evil.check, *evil.also}
    for outcome in report.failures:
        assert all(finding.what and finding.todo for finding in outcome.findings)


@pytest.mark.parametrize("evil", EVIL_HEAD_COMPILERS, ids=lambda evil: evil.check)
def test_what_no_compiler_takes_is_caught_where_it_is_asked(evil: Evil):
    report = kit.check_head(evil.make, only=[evil.check], on_fail="report")
    assert [outcome.check for outcome in report.failures] == [evil.check]


def test_every_check_catches_something():
    caught = {evil.check for evil in (*ZOO, *EVIL_HEAD_COMPILERS)}
    also = {check for evil in ZOO for check in evil.also}
    never = {check.name for check in HEAD_CHECKS} - caught - also
    assert never == {"exports_to_onnx"}  # goes through the same export, and needs ONNX
    # a renamed or hidden tensor shows in a safetensors file as it shows in a state dict
    assert also - caught == {"safetensors"}


@pytest.mark.parametrize(
    ("head", "branches"), GOOD_HEADS, ids=[head.__name__ for head, _ in GOOD_HEADS]
)
def test_unusual_good_heads_raise_no_alarm(head, branches):
    kit.check_head(head, branches=branches or ("audio", "image", "text"))


class NeedsFlowAndRgb(Good):
    """Reads two branches by the names that it knows."""

    def make(self, inputs):
        if set(inputs) != {"flow", "rgb"}:
            raise fk.AssemblyError(f"it takes 'flow' and 'rgb', got {', '.join(inputs)}")
        super().make(inputs)


class Votes(Good):
    """Adds up the branches' votes, which are read from their classifiers."""

    takes_logits = True
    symmetric = True

    def make(self, inputs):
        if not all(each.num_classes == self.num_classes for each in inputs.values()):
            raise fk.AssemblyError("every branch needs a classifier of its own")
        self.reads = "logits"

    def score(self, name, each):
        best = each.logits.argmax(-1)
        return torch.nn.functional.one_hot(best, self.num_classes).to(each.logits.dtype)


def test_a_good_head_passes_all():
    report = kit.check_head(Good)
    assert report.passed
    assert report.subject == "Good"
    skipped = {outcome.check for outcome in report.outcomes if outcome.status == "skipped"}
    fits = {check.name for check in HEAD_CHECKS if check.name.startswith("fit_")}
    assert skipped == fits | {
        "answers_without_a_branch",
        "every_place_counts",
        "fits_as_it_says",
        "options_survive_a_recipe",
        "other_sizes",
        "refuses_to_train",
        "scores_of_single_branches",
    }


def test_a_head_that_fits_is_asked_what_it_makes_of_samples():
    report = kit.check_head(Fits)
    assert len([o for o in report.outcomes if o.check.startswith("fit_")]) == 9
    assert not [o for o in report.outcomes if o.check.startswith("fit_") and o.cause]


class Counts(Votes):
    """Adds up votes, for inference only."""

    trains = False

    def forward(self, features):
        if self.training:
            raise fk.AssemblyError("no gradient flows through a vote; train under another head")
        return super().forward(features)


def test_a_head_that_gradients_cannot_train_is_asked_to_refuse_that_only():
    report = kit.check_head(Counts)
    assert report["refuses_to_train"].status == "passed"
    for check in ("train_mode_works", "gradients_are_finite"):
        assert report[check].cause == "it says that gradients cannot train it"


class FitsNever(Fits):
    """Refuses to be fitted."""

    def fit(self, features, labels):
        raise fk.AssemblyError("not today")


def test_a_fit_that_is_refused_is_told():
    report = kit.check_head(FitsNever)
    assert report["fit_learns"].status == "skipped"
    assert report["fit_takes_few_samples"].cause == "it refuses: not today"


def test_what_it_refuses_is_told_and_obeyed():
    report = kit.check_head(NeedsFlowAndRgb, branches=("rgb", "flow"), on_fail="report")
    assert report.passed
    assert report["one_branch"].status == "skipped"
    assert report["one_branch"].cause == "it refuses: it takes 'flow' and 'rgb', got flow"
    assert report["two_branches"].status == "passed"
    assert report["three_branches"].cause == "too few names of branches were given"


def test_names_that_a_head_does_not_know_are_told_to_be_given():
    report = kit.check_head(NeedsFlowAndRgb, on_fail="report")
    assert [outcome.check for outcome in report.failures] == ["builds"]
    finding = report["builds"].findings[0]
    assert "it takes 'flow' and 'rgb', got audio" in finding.what
    assert "branches=('flow', 'rgb')" in finding.todo


def test_a_head_that_only_reads_logits_and_learns_nothing_passes():
    report = kit.check_head(Votes)
    assert report["one_branch"].status == "skipped"
    assert report["stock_classifiers"].status == "passed"
    assert report["branches_are_told_apart"].cause == "it says that it is symmetric"
    assert report["every_parameter_learns"].cause == "it has nothing to train"


def test_widths_may_be_chosen():
    offer = fk.HeadInput(12, (fk.Level(3, 16),))
    report = kit.check_head(Good, branches={"b": offer, "a": offer}, on_fail="report")
    assert report.passed
    assert report["two_branches"].status == "passed"


def test_options_are_set_with_partial():
    report = kit.check_head(partial(UnevenGains, gains={"audio": 2.0}))
    assert report.subject == "UnevenGains"
    assert report["options_survive_a_recipe"].status == "passed"


def test_an_option_that_no_recipe_can_hold_is_told():
    make = partial(UnevenGains, gains={1: 2.0})
    report = kit.check_head(make, on_fail="report")
    assert [outcome.check for outcome in report.failures] == ["options_survive_a_recipe"]
    assert "cannot stand in a recipe" in report["options_survive_a_recipe"].findings[0].what


def test_all_failures_are_raised_at_once_with_what_to_do():
    with pytest.raises(kit.ConformanceError) as caught:
        kit.check_head(PlainList)
    message = str(caught.value)
    assert "FAILED everything_is_registered" in message
    assert "FAILED state_dict" in message
    assert "- scales.0 is a tensor that learns and is not registered (with 1 branch; " in message
    assert "-> make it an nn.Parameter" in message


def test_a_finding_that_differs_in_figures_only_is_told_once():
    report = kit.check_head(PlainList, on_fail="report")
    assert len(report["state_dict"].findings) == 1
    told = report["state_dict"].findings[0].what
    assert "(with 1 branch; 2 branches; 3 branches; 2 equal branches)" in told


def test_a_finding_that_holds_of_every_branch_is_told_once():
    report = kit.check_head(SaysNothingApart, only=["scores_of_single_branches"], on_fail="report")
    (finding,) = report["scores_of_single_branches"].findings
    assert "of 'audio' is the same for other features (with 1 branch; " in finding.what
    assert finding.what.endswith("; likewise of 'image', 'text')")


def test_an_expected_failure_is_no_failure_and_must_not_pass():
    expected = {"each_branch_counts": "it fuses pairs"}
    assert kit.check_head(TwoOnly, expected_failures=expected).passed
    with pytest.raises(kit.ConformanceError, match="expected to fail"):
        kit.check_head(Good, expected_failures=expected)


def test_an_unknown_check_is_refused():
    with pytest.raises(fk.ConfigError, match="Did you mean 'each_branch_counts'"):
        kit.check_head(Good, only=["each_branch_count"])


@pytest.mark.parametrize("branches", ["flow", (), {}])
def test_branches_without_names_are_refused(branches):
    with pytest.raises(fk.ConfigError, match="branches is a list of names"):
        kit.check_head(Good, branches=branches)


def test_one_by_one_for_pytest():
    by_name = {str(question): question for question in kit.head_checks()}
    assert "compiles" not in by_name
    by_name["deepcopy"](Good)
    with pytest.raises(unittest.SkipTest, match="it reads no maps"):
        by_name["other_sizes"](Good)
    with pytest.raises(kit.ConformanceError, match="branch 'text'"):
        by_name["each_branch_counts"](TwoOnly)
    (expecting,) = (
        question
        for question in kit.head_checks(expected_failures={"each_branch_counts": "pairs"})
        if str(question) == "each_branch_counts"
    )
    expecting(TwoOnly)


def test_what_a_head_changes_for_everybody_is_put_back(monkeypatch):
    from evil_heads import SetsVariables

    monkeypatch.delenv("EVIL_HEAD", raising=False)
    for _ in range(2):  # the second time too
        report = kit.check_head(SetsVariables, on_fail="report")
        assert [outcome.check for outcome in report.failures] == ["leaves_its_surroundings_alone"]
        assert "EVIL_HEAD" in report["leaves_its_surroundings_alone"].findings[0].what


def test_random_numbers_go_on_as_if_nothing_had_been_asked():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    kit.check_head(Good)
    assert torch.equal(torch.rand(2), expected)
