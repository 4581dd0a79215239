"""The checks of copies, files, compilers and traces find nothing wrong with what is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from evil_keeping import Scaled, loads_all
from odd_toys import (
    AuthorFrozen,
    BareNorm,
    Classifies,
    FunctionalNoise,
    HiddenBuffer,
    KeepsForever,
    NewSpectral,
    OddNet,
    SharedModule,
    Tied,
    Tokens,
    Wrapped,
)
from torch import Tensor, nn
from toys import TinyNet, VectorNet

import fusionkit as fk
import fusionkit.testing as kit
from fusionkit.testing.backbones.keeping import CHECKS
from fusionkit.testing.backbones.subject import BackboneSubject

QUICK = [check.name for check in CHECKS if not check.slow]
SLOW = [check.name for check in CHECKS if check.slow]

TOYS = (
    *(TinyNet, OddNet, Tied, SharedModule, HiddenBuffer, AuthorFrozen, BareNorm, NewSpectral),
    *(FunctionalNoise, Wrapped, Tokens, KeepsForever, Scaled),
)


class Sentences(fk.Backbone):
    """Takes a mapping of tensors, as text does, and has a tied pair and a mask buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.embed_dim = 8
        self.words = nn.Embedding(30, 8)
        self.again = nn.Embedding(30, 8)
        self.again.weight = self.words.weight
        self.register_buffer("floor", torch.full((1,), -torch.inf))
        self.stages = (fk.Stage("words", ("words", "again")),)

    def check_input(self, x: Any) -> None:
        if not isinstance(x, dict):
            raise fk.DataError(f"takes a mapping, got {type(x).__name__}")

    def example(self, batch: int = 2) -> dict[str, Tensor]:
        tokens = torch.arange(batch * 5).reshape(batch, 5) % 30
        return {"tokens": tokens, "mask": torch.ones(batch, 5, dtype=torch.bool)}

    def forward(self, x: dict[str, Tensor], reads: fk.Reads) -> fk.Features:
        both = self.words(x["tokens"]) + self.again(x["tokens"].flip(1))
        kept = both.masked_fill(~x["mask"][..., None], 0.0)
        return fk.Features(kept.mean(1))


def vectors() -> VectorNet:
    return VectorNet(3)


@pytest.mark.parametrize("make", [*TOYS, vectors, Sentences], ids=lambda make: make.__name__)
def test_a_good_toy_passes(make: Callable[..., Any]) -> None:
    kit.check_backbone(make, only=QUICK)


def test_a_good_toy_passes_without_data() -> None:
    report = kit.check_backbone(TinyNet, only=QUICK, on_meta=True)
    assert report["repr_works"].status == "passed"


def test_a_classifier_whose_keys_are_declared_passes() -> None:
    def make(*, in_channels: int, weights: str | None, num_classes: int | None) -> Classifies:
        built = Classifies(in_channels, num_classes)
        built.dropped_keys = () if num_classes else ("fc.*",)
        return built

    assert kit.check_backbone(make, only=["keys_are_stock_keys"]).passed


def test_stock_keys_may_be_worked_out_for_each_backbone() -> None:
    asked = []

    def stock_keys(backbone: fk.Backbone) -> list[str]:
        asked.append(backbone)
        return list(backbone.state_dict())

    report = kit.check_backbone(Scaled, only=["keys_are_stock_keys"], stock_keys=stock_keys)
    assert report["keys_are_stock_keys"].status == "passed"
    assert len(asked) == 1


def test_what_rebuild_says_is_built() -> None:
    calls = []

    def odd(*, in_channels: int, weights: None, num_classes: None, width: int) -> OddNet:
        calls.append((in_channels, weights, num_classes, width))
        return OddNet(in_channels, width)

    def make() -> OddNet:
        built = OddNet()
        built.rebuild = ("odd", {"width": 8})
        return built

    report = kit.check_backbone(make, only=["rebuild_is_enough"], factories={"odd": odd})
    assert report["rebuild_is_enough"].status == "passed"
    assert calls == [(3, None, None, 8)]


def test_weights_that_are_loaded_as_a_whole_pass() -> None:
    report = kit.check_backbone(loads_all, only=["weights_file_round_trip"], weights="tried")
    assert report["weights_file_round_trip"].status == "passed"


def test_a_noisy_one_is_left_to_the_check_for_noise() -> None:
    class Noisy(OddNet):
        def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
            return super().forward(x + torch.rand_like(x), reads)

    report = kit.check_backbone(Noisy, only=["functional_call_works"])
    assert report["functional_call_works"].status == "skipped"
    assert "same answer" in report["functional_call_works"].cause


def test_the_subject_is_left_as_it_was() -> None:
    subject = BackboneSubject(TinyNet)
    before = {name: value.clone() for name, value in subject.pristine.state_dict().items()}
    for check in CHECKS:
        if not check.slow:
            assert check.run(subject).status in ("passed", "skipped"), check.name
    after = subject.pristine.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not any(module.training for module in subject.pristine.modules())
    assert subject.spare is None


@pytest.mark.parametrize("make", [TinyNet, Wrapped], ids=lambda make: make.__name__)
def test_a_good_toy_is_traced(make: Callable[..., Any]) -> None:
    report = kit.check_backbone(make, only=SLOW)
    assert {report[name].status for name in SLOW} == {"passed"}
