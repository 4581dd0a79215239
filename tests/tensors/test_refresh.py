"""Every module is toggled, and comes back in the mode that it was in."""

from __future__ import annotations

from torch import nn

from fusionkit.tensors.refresh import drop_old_tables


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[bool] = []

    def train(self, mode: bool = True) -> Counting:
        self.seen.append(mode)
        return super().train(mode)


class AlwaysEval(nn.Sequential):
    """Stays in eval mode with all below, as guards of frozen parts do."""

    def train(self, mode: bool = True) -> AlwaysEval:
        return super().train(False)


def test_modes_that_differ_inside_come_back() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.Dropout(), nn.Linear(1, 1)))
    for outer in (True, False):
        model.train(outer)
        model[1].train(not outer)
        model[1][0].train(outer)
        modes = [part.training for part in model.modules()]
        drop_old_tables(model)
        assert [part.training for part in model.modules()] == modes


def test_a_module_below_a_guard_is_toggled_too() -> None:
    inner = Counting()
    guard = AlwaysEval(inner).eval()
    drop_old_tables(guard)
    assert {True, False} <= set(inner.seen)
    assert not inner.training
    assert not guard.training


def test_a_module_alone_is_toggled_both_ways() -> None:
    for mode in (True, False):
        part = Counting()
        part.train(mode)
        part.seen.clear()
        drop_old_tables(part)
        assert {True, False} <= set(part.seen)
        assert part.training is mode


def test_one_whose_class_keeps_no_tables_is_not_asked_but_all_below_are() -> None:
    class Notes(Counting):
        keeps_no_tables = True

        def __init__(self) -> None:
            super().__init__()
            self.inner = Counting()

    part = Notes()
    drop_old_tables(part)
    assert part.seen == []
    assert {True, False} <= set(part.inner.seen)
