"""A network that makes much of little, as deep ones of random weights do, is not at fault."""

from __future__ import annotations

import torch
from sound_backbone import Sound
from torch import Tensor

import fusionkit as fk
import fusionkit.testing as kit
from fusionkit.testing.backbones.forward.rounding import is_rounding
from fusionkit.testing.backbones.subject import BackboneSubject


class MakesMuchOfLittle(Sound):
    """Unrolls a map under which whatever is near parts, as it does under hundreds of layers."""

    ROUNDS = 60

    def pool(self, x: Tensor) -> Tensor:
        x = super().pool(x).tanh()
        for _ in range(self.ROUNDS):
            x = 1 - 1.9 * x.square()
        return x


class AndHearsTheBatch(MakesMuchOfLittle):
    def pool(self, x: Tensor) -> Tensor:
        x = super().pool(x)
        return x + 3e-5 * (x.softmax(0) - 1)


class DropsDigits(Sound):
    """Is calm, and in double precision rounds by hand."""

    def pool(self, x: Tensor) -> Tensor:
        x = super().pool(x)
        return (10 * x).round() / 10 if x.dtype == torch.float64 else x


CHECKS = [
    "rows_are_independent", "runs_in_double_precision", "runs_under_autocast",
    "takes_channels_last",
]  # fmt: skip


def test_what_is_told_of_no_calm_network_is_left_with_its_cause() -> None:
    report = kit.check_backbone(MakesMuchOfLittle, only=CHECKS, on_fail="report")
    assert report.passed, str(report)
    assert report["rows_are_independent"].status == "passed"
    for name in ("runs_in_double_precision", "runs_under_autocast"):
        assert report[name].status == "skipped"
        assert "as much of rounding alone" in report[name].cause


def test_what_the_batch_tells_is_heard_all_the_same() -> None:
    report = kit.check_backbone(AndHearsTheBatch, only=CHECKS, on_fail="report")
    assert report["rows_are_independent"].status == "failed"


def test_a_calm_network_has_no_excuse() -> None:
    report = kit.check_backbone(DropsDigits, only=CHECKS, on_fail="report")
    assert report["runs_in_double_precision"].status == "failed"


def test_another_shape_is_no_rounding() -> None:
    subject = BackboneSubject(MakesMuchOfLittle)
    wanted = subject.answer
    assert wanted.vector is not None
    off = fk.Features(wanted.vector + 0.5, wanted.maps)
    assert is_rounding(subject, off, wanted, 0.0)
    assert not is_rounding(subject, fk.Features(wanted.vector[:, :1], wanted.maps), wanted, 0.0)
    assert not is_rounding(subject, fk.Features(None, wanted.maps), wanted, 0.0)
    maps = (torch.zeros_like(wanted.maps[0]), *wanted.maps[1:])
    assert not is_rounding(subject, fk.Features(wanted.vector, maps), wanted, 1e-4)
