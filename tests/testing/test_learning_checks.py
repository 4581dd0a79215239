"""Every evil backbone is caught by the check that should, and no good one by any."""

from __future__ import annotations

import pytest
import torch
from evil_learning import EVIL, Trio
from good_learning import GOOD
from odd_toys import PLAIN, Classifies
from torch import nn
from toys import TinyNet, VectorNet

import fusionkit as fk
from fusionkit.model.fused import FusedModel
from fusionkit.model.schedule import PolicyScheduler
from fusionkit.testing import check_backbone
from fusionkit.testing.backbones.builds import builds, runs
from fusionkit.testing.backbones.forward.anatomy import every_parameter_is_in_one_block
from fusionkit.testing.backbones.keeping.files import saves_and_loads
from fusionkit.testing.backbones.learning import CHECKS
from fusionkit.testing.backbones.learning.rehearsal import Rehearsal
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Check, Finding, NotApplicableError, Outcome

BY_NAME = {check.name: check for check in CHECKS}
QUICK = [check for check in CHECKS if not check.slow]
ALL_GOOD = {
    **GOOD,
    "tiny": TinyNet,
    "undeclared": lambda in_channels=3: TinyNet(in_channels, declare=False),
    "vector": VectorNet,
    "classifies": Classifies,
    "trio": Trio,
    **PLAIN,
}


def ask(make, checks) -> list[Outcome]:
    subject = BackboneSubject(make)
    return [check.run(subject) for check in checks]


def failed(outcomes) -> dict[str, str]:
    return {
        outcome.check: "\n".join(finding.what for finding in outcome.findings)
        for outcome in outcomes
        if outcome.status == "failed"
    }


@pytest.mark.parametrize("make", ALL_GOOD.values(), ids=ALL_GOOD)
def test_a_good_backbone_passes_all(make) -> None:
    outcomes = ask(make, [builds, runs, *QUICK])
    assert failed(outcomes) == {}
    skipped = {outcome.check for outcome in outcomes if outcome.status == "skipped"}
    assert skipped <= {"nothing_learnable_is_cut_off", "branches_keep_to_themselves"}, outcomes


@pytest.mark.parametrize("make", GOOD.values(), ids=GOOD)
def test_a_good_backbone_passes_the_other_groups_too(make) -> None:
    check_backbone(make)


@pytest.mark.parametrize("evil", EVIL, ids=lambda evil: evil.__name__)
def test_an_evil_backbone_fails_the_check_that_should_catch_it(evil) -> None:
    checks = [each for each in CHECKS if not each.slow or each.name in EVIL[evil]]
    outcomes = ask(evil, [builds, runs, *checks])
    assert set(failed(outcomes)) == EVIL[evil], failed(outcomes)
    assert all(finding.todo for outcome in outcomes for finding in outcome.findings)


@pytest.mark.parametrize("check", QUICK, ids=str)
def test_a_check_asked_alone_says_the_same(check: Check[BackboneSubject]) -> None:
    """Checks share what they observe; none may depend on another having been asked."""
    wrong = {}
    for evil, names in EVIL.items():
        if check.name in names:
            wrong[evil.__name__] = set(failed(ask(evil, [check]))) == {check.name}
    assert all(wrong.values()), wrong
    assert failed(ask(TinyNet, [check])) == {}


@pytest.mark.parametrize("make", [TinyNet, PLAIN["author_frozen"]], ids=["tiny", "author_frozen"])
def test_p3_two_processes_stay_equal(make) -> None:
    (outcome,) = ask(make, [BY_NAME["ranks_stay_equal"]])
    assert outcome.status == "passed", outcome


def test_a_process_that_fails_is_told() -> None:
    class FailsElsewhere(Trio):
        def after(self, index, x):
            assert not torch.distributed.is_initialized(), "not in company"
            return x

    (outcome,) = ask(FailsElsewhere, [BY_NAME["ranks_stay_equal"]])
    assert [finding.what.partition(" failed")[0] for finding in outcome.findings] == [
        "process 0",
        "process 1",
    ]
    assert "not in company" in outcome.findings[0].what


def flat_rates(scheduler: PolicyScheduler) -> list[float]:
    return [0.1 for _ in scheduler.optimizer.param_groups]


def without_one(groups):
    def param_groups(self, lr, weight_decay=0.0):
        made = groups(self, lr, weight_decay)
        made[0]["params"] = made[0]["params"][1:]
        return made

    return param_groups


def keeping_gradients(set_epoch):
    def kept(self, epoch):
        gradients = {value: value.grad for value in self.parameters()}
        set_epoch(self, epoch)
        for value, gradient in gradients.items():
            value.grad = gradient
        return self

    return kept


def freezing_nothing(set_epoch):
    def thawed(self, epoch):
        set_epoch(self, epoch)
        self._frozen = dict.fromkeys(self._frozen, ())
        return self.requires_grad_(True)

    return thawed


MUTANTS = {
    "rates_keep_their_ratios": (PolicyScheduler, "get_lr", lambda _: flat_rates),
    "what_learns_gets_a_gradient": (FusedModel, "param_groups", without_one),
    "freezing_again_holds": (FusedModel, "set_epoch", keeping_gradients),
    "modes_follow_the_policy": (FusedModel, "set_epoch", freezing_nothing),
}
"""What a fault of fusionkit itself would be, and the check that would tell."""


@pytest.mark.parametrize("name", MUTANTS)
def test_a_fault_of_fusionkit_itself_is_caught_too(name, monkeypatch) -> None:
    owner, attribute, change = MUTANTS[name]
    assert failed(ask(TinyNet, [BY_NAME[name]])) == {}
    monkeypatch.setattr(owner, attribute, change(getattr(owner, attribute)))
    assert set(failed(ask(TinyNet, [BY_NAME[name]]))) == {name}


def test_modes_that_the_model_leaves_alone_are_caught(monkeypatch) -> None:
    monkeypatch.setattr("fusionkit.model.fused.apply_modes", lambda trains: None)
    assert set(failed(ask(TinyNet, QUICK))) == {"modes_follow_the_policy"}


def test_modes_by_hand_that_nobody_refuses_are_caught(monkeypatch) -> None:
    monkeypatch.setattr("fusionkit.model.fused.check_still", lambda branch, still: None)
    assert set(failed(ask(TinyNet, QUICK))) == {"modes_by_hand_are_refused"}


def test_what_is_said_names_the_fault() -> None:
    told = {evil.__name__: failed(ask(evil, QUICK)) for evil in EVIL if evil.__name__ in SAID}
    for evil, part in SAID.items():
        assert any(part in what for what in told[evil].values()), (evil, told[evil])


SAID = {
    "HoldsALock": "cannot pickle '_thread.lock' object",
    "HeatsUp": "require a gradient after a forward pass: two.weight, two.bias",
    "SharesABuffer": "with 1 of 3 stages learning one step changed 1 tensors of frozen stages: "
    "one.mean",
    "MovesAPlainMean": "plain attributes that changed: mean",
    "HidesANorm": "with the other samples in the batch",
    "WakesItsNoise": "after model.eval() noise are still in train mode",
    "ReturnsNothing": "train() returned NoneType",
    "CutsItsVector": "when the vector is read, the answer changes with 4 parameters that no",
    "CutsItsLogits": "when the logits are read, the answer changes with 6 parameters that no",
    "CutsInTrain": "4 of 6 parameters learn by the policy, but get no gradient",
    "MakesParameters": "forward replaced parameters by others: two.weight",
    "NamesNoParameter": "Did you mean 'one.weight'",
    "GivesMoreInTrain": "in train mode forward gives tuple instead of Features",
    "GivesOtherMapsInTrain": "in train mode the shape of the map 0 is",
    "RootsOfNothing": "are not finite: one.weight",
    "KeepsATable": "something is kept from before",
}


def test_a_backbone_that_cannot_be_composed_is_told_once() -> None:
    class Orphan(Trio):
        def __init__(self, in_channels: int = 3) -> None:
            super().__init__(in_channels)
            self.stages = self.stages[:2]

    outcomes = ask(Orphan, [every_parameter_is_in_one_block, *QUICK, saves_and_loads])
    told = failed(outcomes)
    assert set(told) == {"every_parameter_is_in_one_block"}
    assert "2 parameters are in no stage" in told["every_parameter_is_in_one_block"]
    causes = {outcome.check: outcome.cause for outcome in outcomes}
    assert causes["composes"] == "every_parameter_is_in_one_block says what is wrong"
    assert causes["trains"] == "composes says why it cannot be composed"
    assert causes["saves_and_loads"] == "composes says why it cannot be composed"


def test_nothing_is_asked_of_a_backbone_without_parameters() -> None:
    class Pools(fk.Backbone):
        def __init__(self) -> None:
            super().__init__()
            self.embed_dim = 3
            self.stages = ()

        def forward(self, x, reads):
            return fk.Features(x.mean((2, 3)))

    outcomes = ask(Pools, QUICK)
    assert failed(outcomes) == {}


def test_a_dropout_that_no_stage_names_is_named() -> None:
    class DropsBetween(Trio):
        def __init__(self, in_channels=3):
            super().__init__(in_channels)
            self.between = nn.Dropout(0.3)

        def after(self, index, x):
            return self.between(x) if index == 0 else x

    told = failed(ask(DropsBetween, QUICK))
    assert "no stage names between" in told["frozen_stages_compute_the_same"]


def test_what_stops_a_rehearsal_is_told_by_the_check_of_that_act() -> None:
    class FailsHalfThawed(Trio):
        def after(self, index, x):
            if self.two.weight.requires_grad and not self.one.weight.requires_grad:
                raise ValueError("neither fish nor fowl")
            return x

    outcomes = ask(FailsHalfThawed, QUICK)
    told = failed(outcomes)
    assert set(told) == {"every_suffix_keeps_its_frozen_part"}
    assert "neither fish nor fowl" in told["every_suffix_keeps_its_frozen_part"]
    skipped = {outcome.check for outcome in outcomes if outcome.status == "skipped"}
    assert skipped == {
        "frozen_stages_compute_the_same",
        "thawing_restores",
        "freezing_again_holds",
    }


def test_an_act_that_was_stopped_keeps_what_was_found_before() -> None:
    finding = Finding("what", "todo")
    story = Rehearsal(thawed=[finding], stopped=("thawed", "it stopped"))
    assert list(story.tell("suffixes", [])) == []
    assert [each.what for each in story.tell("thawed", story.thawed)] == ["what", "it stopped"]
    with pytest.raises(NotApplicableError, match="it failed before: it stopped"):
        list(story.tell("again", []))
