"""What a head that reads maps leaves of a backbone; what must hold besides is asked by the kit."""

from __future__ import annotations

import pytest
import torch
from zoo import SMALL, Specimen, identify

import fusionkit as fk

every_small = pytest.mark.parametrize("specimen", SMALL, ids=identify)


@every_small
def test_maps_alone_leave_nothing_without_a_gradient(specimen: Specimen) -> None:
    torch.manual_seed(0)
    head = fk.Head("two_stream_maps", level=1)
    model = fk.compose({"a": specimen.branch()}, head, num_classes=3)
    x = specimen.example(2)
    model.train()(x).square().mean().backward()
    dead = [n for n, v in model.named_parameters() if v.requires_grad and v.grad is None]
    assert dead == []
