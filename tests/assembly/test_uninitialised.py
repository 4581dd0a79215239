"""Random values are not drawn where a file's take their place, and are wherever they are read."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from fusionkit.assembly import uninitialised
from fusionkit.assembly.uninitialised import build_uninitialised

SIDE = 128
MARK = -77.0


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes memory that nobody wrote to show: it holds one odd value."""
    empty = torch.empty

    def show(*sizes, **options):
        made = empty(*sizes, **options)
        return made.fill_(MARK) if made.is_floating_point() and not made.is_meta else made

    monkeypatch.setattr(torch, "empty", show)


def untouched(value: Tensor) -> bool:
    return bool((value == MARK).all())


def is_drawn(value: Tensor) -> bool:
    return not bool((value == MARK).any()) and float(value.std()) > 0


def test_what_a_file_will_fill_is_not_drawn(marked):
    layer = build_uninitialised(lambda: nn.Linear(SIDE, SIDE))
    assert untouched(layer.weight.detach())


def test_what_is_changed_in_place_after_it_was_drawn_is_not_drawn_either(marked):
    def build():
        layer = nn.Linear(SIDE, SIDE)
        layer.weight.data.uniform_(-1, 1).erfinv_().mul_(0.02)
        with torch.no_grad():
            layer.weight.add_(0).clamp_(min=-0.04, max=0.04)
        return layer

    assert untouched(build_uninitialised(build).weight.detach())


def test_outside_everything_is_drawn(marked):
    build_uninitialised(lambda: nn.Linear(SIDE, SIDE))
    assert is_drawn(nn.Linear(SIDE, SIDE).weight.detach())


class ReadsItsWeight(nn.Module):
    """Computes what no file holds from values that were drawn."""

    def __init__(self, read) -> None:
        super().__init__()
        self.layer = nn.Linear(SIDE, SIDE)
        self.register_buffer("made", torch.as_tensor(read(self.layer.weight)), persistent=False)


READERS = {
    "a sum": lambda w: w.detach().sum(),
    "a copy": lambda w: w.detach().clone(),
    "a deep copy": lambda w: deepcopy(w).detach(),
    "a view's copy": lambda w: w.data.view(-1)[:9] + 0,
    "a list": lambda w: torch.stack([w.detach(), w.detach()]),
    "an item": lambda w: w[0, 0].item(),
    "numpy": lambda w: w.detach().numpy().copy(),
    "bytes": lambda w: torch.tensor(w.detach().untyped_storage().tolist()),
    "a keyword": lambda w: torch.mul(input=torch.ones(SIDE), other=w.detach()),
    "a script": lambda w: torch.jit.script(_double)(w.detach()),
    "written elsewhere": lambda w: torch.zeros(SIDE, SIDE).copy_(w.detach()),
    "a sampler that rejects": lambda w: nn.init.trunc_normal_(w).detach().clone(),
    "a decomposition": lambda w: torch.linalg.qr(w.detach())[0],
}


def _double(value: Tensor) -> Tensor:
    return value * 2


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize("how", READERS)
def test_what_is_read_while_building_is_drawn_first(marked, how):
    module = build_uninitialised(lambda: ReadsItsWeight(READERS[how]))
    assert is_drawn(module.layer.weight.detach())
    assert not untouched(module.made)
    if how not in ("bytes", "a sampler that rejects"):
        wanted = torch.as_tensor(READERS[how](module.layer.weight))
        torch.testing.assert_close(module.made, wanted.to(module.made.dtype))


def test_what_was_put_off_is_done_in_order(marked):
    def read(weight: Tensor) -> Tensor:
        nn.init.normal_(weight, std=1.0)
        weight.data.mul_(0).add_(3)
        return weight.detach().mean()

    module = build_uninitialised(lambda: ReadsItsWeight(read))
    assert torch.equal(module.layer.weight.detach(), torch.full((SIDE, SIDE), 3.0))
    assert float(module.made) == 3


class Holder(nn.Module):
    """Holds tensors in every way."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("saved", torch.empty(SIDE, SIDE).normal_())
        self.register_buffer("not_saved", torch.empty(SIDE, SIDE).normal_(), persistent=False)
        self.beside = torch.empty(SIDE, SIDE).normal_()
        both = torch.empty(2, SIDE, SIDE).normal_()
        self.one_half = nn.Parameter(both[0])
        self.register_buffer("other_half", both[1], persistent=False)
        self.register_buffer("mask", torch.ones(SIDE, SIDE).tril(), persistent=False)


def test_only_what_a_file_holds_stays_empty(marked):
    holder = build_uninitialised(Holder)
    assert untouched(holder.saved)
    for value in (holder.not_saved, holder.beside, holder.one_half.detach(), holder.other_half):
        assert is_drawn(value)
    assert torch.equal(holder.mask, torch.ones(SIDE, SIDE).tril())


def test_a_generator_of_ones_own_is_drawn_from_at_once(marked):
    def build():
        layer = nn.Linear(SIDE, SIDE)
        nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(1))
        return layer

    layer = build_uninitialised(build)
    wanted = torch.zeros(SIDE, SIDE).normal_(generator=torch.Generator().manual_seed(1))
    assert torch.equal(layer.weight.detach(), wanted)


def test_what_is_no_module_has_its_values(marked):
    assert is_drawn(build_uninitialised(lambda: torch.empty(SIDE, SIDE).normal_()))


def test_small_tensors_are_drawn_at_once(marked):
    layer = build_uninitialised(lambda: nn.Linear(3, 3))
    assert is_drawn(layer.weight.detach())
    assert layer.weight.numel() < uninitialised.LARGE
