"""What a tensor file cannot hold and give back is refused by name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import fusionkit as fk
from fusionkit.tensors.state import nonfinite_problem, state_of, state_problems


class Holder(nn.Module):
    def __init__(self, **buffers: torch.Tensor) -> None:
        super().__init__()
        for name, value in buffers.items():
            self.register_buffer(name, value)


class OddTensor(torch.Tensor):
    pass


def test_it_gives_the_tensors_themselves() -> None:
    layer = nn.BatchNorm2d(3)
    state = state_of(layer)
    assert state["weight"] is layer.weight
    assert state["running_mean"] is layer.running_mean
    assert list(state) == list(layer.state_dict())


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (torch.ones(2, 2).to_sparse(), "is sparse; make it dense first"),
        (torch.ones(2, device="meta"), "is on the meta device and has no values"),
        (torch.ones(2, dtype=torch.complex128), r"is of type torch\.complex128, which"),
        (torch.ones(1, 3).expand(4, 3), "is expanded"),
        (torch.ones(2).as_subclass(OddTensor), "is a OddTensor, which no tensor file holds"),
    ],
)
def test_f052_what_no_file_holds_is_refused_by_name(value: torch.Tensor, cause: str) -> None:
    with pytest.raises(fk.CheckpointError, match=f"'inner.odd' {cause}"):
        state_of(nn.ModuleDict({"inner": Holder(fine=torch.ones(1), odd=value)}))


@pytest.mark.parametrize(
    ("extra", "cause"),
    [({"a": 1}, "is dict"), (torch.ones(2), "made by a hook or get_extra_state")],
)
def test_f052_extra_state_is_refused_since_it_would_not_be_given_back(
    extra: object, cause: str
) -> None:
    class Extra(nn.Linear):
        def get_extra_state(self) -> object:
            return extra

        def set_extra_state(self, state: object) -> None:
            raise AssertionError(state)

    with pytest.raises(fk.CheckpointError, match=rf"'_extra_state' .*{cause}.*; keep it in a buf"):
        state_of(Extra(2, 2))


def test_a_tensor_that_a_hook_makes_up_is_refused() -> None:
    layer = nn.Linear(2, 2)
    layer._register_state_dict_hook(
        lambda _, state, prefix, __: state.update({"weight": state["weight"] * 1})
    )
    with pytest.raises(fk.CheckpointError, match="'weight' is neither parameter nor buffer"):
        state_of(layer)


def test_f039_a_buffer_without_values_is_refused_though_it_is_not_saved() -> None:
    layer = nn.Linear(2, 2)
    layer.register_buffer("table", torch.ones(3, device="meta"), persistent=False)
    with pytest.raises(fk.CheckpointError, match="'table' is on the meta device"):
        state_of(layer)


def test_parametrized_and_empty_modules_are_fine() -> None:
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    assert len(state_of(normed)) == 3
    assert state_of(nn.Identity()) == {}


@pytest.mark.parametrize(
    "dtype",
    [
        torch.float32,
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.float8_e4m3fn,
        torch.complex64,
    ],
)
def test_f042_values_that_are_not_finite_are_counted(dtype: torch.dtype) -> None:
    fine = torch.tensor([1.0, -2.0, 0.0, 3.0])
    assert nonfinite_problem(fine.to(dtype), True) == ""
    spoilt = fine.clone()
    spoilt[1] = torch.nan
    for is_parameter in (True, False):
        problem = nonfinite_problem(spoilt.to(dtype), is_parameter)
        assert problem.startswith("holds NaN (1 of ")
    if dtype.itemsize == 1:
        return  # has no infinities
    spoilt[1] = -torch.inf
    assert nonfinite_problem(spoilt.to(dtype), True).startswith("holds infinities (1 of ")
    assert nonfinite_problem(spoilt.to(dtype), False) == "", "a mask may be infinite"


def test_f042_other_kinds_and_empty_tensors_are_finite() -> None:
    for value in (torch.tensor(3), torch.tensor(True), torch.empty(0), torch.empty(0, 3)):
        assert nonfinite_problem(value, True) == ""


def test_the_largest_values_are_finite() -> None:
    for dtype in (torch.float16, torch.float32, torch.bfloat16, torch.float64):
        assert (
            nonfinite_problem(torch.full((1000,), torch.finfo(dtype).max, dtype=dtype), True) == ""
        )


def test_every_problem_is_told_at_once() -> None:
    hollow = Holder(a=torch.ones(2, 2).to_sparse(), b=torch.ones(3), c=torch.ones(2, device="meta"))
    hollow.register_buffer("d", torch.ones(2, device="meta"), persistent=False)
    assert state_problems(hollow) == {
        "a": "is sparse; make it dense first",
        "c": "is on the meta device and has no values",
        "d": "is on the meta device and has no values",
    }
    assert state_problems(nn.BatchNorm2d(3)) == {}
