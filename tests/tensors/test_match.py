"""Everything that a file holds goes where it belongs, or nothing goes anywhere."""

from __future__ import annotations

import hashlib

import pytest
import torch
from torch import Tensor, nn
from toys import perturb

import fusionkit as fk
from fusionkit.tensors.match import load_tensors
from fusionkit.tensors.report import LoadReport


def net() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    perturb(model)
    return model


def other_values() -> dict[str, Tensor]:
    torch.manual_seed(1)
    model = net()
    perturb(model, 7)
    return {name: value.clone() for name, value in model.state_dict().items()}


def fingerprint(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        raw = value.contiguous().reshape(-1).view(torch.uint8).numpy()
        digest.update(name.encode() + raw.tobytes())
    return digest.hexdigest()


def test_every_tensor_arrives_and_is_reported() -> None:
    model, tensors = net(), other_values()
    parameters = [id(parameter) for parameter in model.parameters()]
    model[0].weight.requires_grad_(False)
    report = load_tensors(model, tensors, "file")
    assert report == LoadReport("file", tuple(tensors))
    assert report.problems() == ""
    assert all(torch.equal(model.state_dict()[name], value) for name, value in tensors.items())
    assert [id(parameter) for parameter in model.parameters()] == parameters
    assert not model[0].weight.requires_grad
    assert model[2].weight.requires_grad


def spoil(tensors: dict[str, Tensor], how: str) -> dict[str, Tensor]:
    match how:
        case "missing":
            del tensors["2.bias"]
        case "unexpected":
            tensors["2.bia"] = tensors.pop("2.bias")
        case "shape":
            tensors["2.weight"] = torch.ones(3, 4, 1, 1)
        case "kind":
            tensors["2.bias"] = torch.ones(2, dtype=torch.int64)
        case "nan":
            tensors["2.bias"] = torch.tensor([1.0, torch.nan])
        case "infinite":
            tensors["2.bias"] = torch.tensor([1.0, torch.inf])
        case "overflow":
            tensors["2.bias"] = torch.tensor([1.0, 1e300], dtype=torch.float64)
    return tensors


NEAR_NAME = (
    r"file does not fit: 1 missing in the file \(2\.bias\); 1 that the model does not have "
    r"\(2\.bia\)\. What is nearest to '2\.bia' in the model is '2\.bias', if"
)


@pytest.mark.parametrize(
    ("how", "cause"),
    [
        ("missing", r"file does not fit: 1 missing in the file \(2\.bias\)"),
        ("unexpected", NEAR_NAME),
        (
            "shape",
            r"1 of another shape \(2\.weight: \(3, 4, 1, 1\) in the file, \(2, 4, 1, 1\) in the",
        ),
        ("kind", r"'2\.bias' holds torch\.int64, the model torch\.float32; only floating-point"),
        ("nan", r"'2\.bias' holds NaN \(1 of 2 values\); the file is damaged, or its training"),
        ("infinite", r"'2\.bias' holds infinities \(1 of 2 values\)"),
        ("overflow", r"'2\.bias' holds torch\.float64, and some of its values are too large"),
    ],
)
def test_f034_a_refused_load_leaves_every_bit_as_it_was(how: str, cause: str) -> None:
    model = net()
    before = fingerprint(model)
    with pytest.raises(fk.CheckpointError, match=cause):
        load_tensors(model, spoil(other_values(), how), "file")
    assert fingerprint(model) == before


def test_all_that_does_not_fit_is_counted_and_at_most_three_are_named() -> None:
    model = net()
    with pytest.raises(fk.CheckpointError) as caught:
        load_tensors(model, {f"{'x' * 500}{i}": torch.ones(1) for i in range(50)}, "file")
    message = str(caught.value)
    assert "9 missing in the file (0.weight, 0.bias, 1.weight, ...)" in message
    assert "50 that the model does not have" in message
    assert len(message) < 800


@pytest.mark.parametrize("name", ["head.mlp.fc1.kernel", "2.weights.", "x" * 300])
def test_a_name_that_resembles_none_that_is_missing_gets_no_advice(name: str) -> None:
    tensors = other_values()
    del tensors["1.running_mean"]
    with pytest.raises(fk.CheckpointError, match=r"1 that the model does not have \([^()]*\)$"):
        load_tensors(net(), {**tensors, name: torch.ones(1)}, "file")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.backbone."])
def test_f035_names_with_a_prefix_are_refused_with_what_to_do(prefix: str) -> None:
    model = net()
    before = fingerprint(model)
    tensors = {prefix + name: value for name, value in other_values().items()}
    with pytest.raises(fk.CheckpointError) as caught:
        load_tensors(model, tensors, "file")
    message = str(caught.value)
    assert f"The names in the file begin with {prefix!r}, those in the model do not" in message
    assert f"name.removeprefix({prefix!r})" in message
    assert fingerprint(model) == before


def plain(value: Tensor) -> list[float]:
    return (value.real if value.is_complex() else value.float()).tolist()


FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn)
OTHERS = (torch.int8, torch.uint8, torch.int64, torch.bool, torch.complex64)


@pytest.mark.parametrize("ours", [*FLOATS, *OTHERS], ids=str)
@pytest.mark.parametrize("theirs", [*FLOATS, *OTHERS], ids=str)
def test_f036_only_floats_are_converted_and_reported(
    theirs: torch.dtype, ours: torch.dtype
) -> None:
    model = nn.Module()
    model.register_buffer("x", torch.zeros(3).to(ours))
    given = {"x": torch.tensor([0.0, 1.0, 1.0]).to(theirs)}
    if theirs == ours:
        assert load_tensors(model, given, "file").converted == ()
    elif theirs in FLOATS and ours in FLOATS:
        report = load_tensors(model, given, "file")
        assert report.converted == (("x", str(theirs), str(ours)),)
    else:
        with pytest.raises(fk.CheckpointError, match="only floating-point types are converted"):
            load_tensors(model, given, "file")
        assert plain(model.x) == [0, 0, 0]
        return
    assert model.x.dtype == ours
    assert plain(model.x) == [0, 1, 1]


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.e = nn.Linear(3, 3, bias=False)
        self.d = nn.Linear(3, 3, bias=False)
        self.d.weight = self.e.weight


def test_f038_tied_names_that_disagree_are_refused() -> None:
    model = Tied()
    before = fingerprint(model)
    with pytest.raises(fk.CheckpointError, match=r"'e\.weight' and 'd\.weight' are one tensor in"):
        load_tensors(model, {"e.weight": torch.ones(3, 3), "d.weight": torch.zeros(3, 3)}, "file")
    assert fingerprint(model) == before


@pytest.mark.parametrize("names", [("e.weight",), ("d.weight",), ("e.weight", "d.weight")])
def test_f037_tied_tensors_are_filled_by_any_of_their_names_and_stay_tied(
    names: tuple[str, ...],
) -> None:
    model = Tied()
    report = load_tensors(model, dict.fromkeys(names, torch.ones(3, 3)), "file")
    assert set(report.loaded) == set(names)
    assert report.missing == ()
    assert model.e.weight is model.d.weight
    assert torch.equal(model.e.weight, torch.ones(3, 3))


def test_tied_names_of_two_types_are_compared_by_value() -> None:
    model = Tied()
    both = {"e.weight": torch.ones(3, 3), "d.weight": torch.ones(3, 3, dtype=torch.float16)}
    load_tensors(model, both, "file")
    assert torch.equal(model.e.weight, torch.ones(3, 3))


def test_names_that_are_allowed_to_be_left_out_are_reported() -> None:
    model = net()
    tensors = {**other_values(), "fc.weight": torch.ones(2), "fc.bias": torch.ones(2)}
    report = load_tensors(model, tensors, "file", ignore=("fc.*",))
    assert report.ignored == ("fc.weight", "fc.bias")
    assert report.unexpected == ()


def test_a_glob_over_names_that_the_module_has_leaves_nothing_out() -> None:
    model, tensors = net(), other_values()
    report = load_tensors(model, tensors, "file", ignore=("*",))
    assert report.loaded == tuple(tensors)


def test_f042_a_mask_of_infinities_is_loaded() -> None:
    model = nn.Module()
    model.register_buffer("mask", torch.zeros(3))
    load_tensors(model, {"mask": torch.tensor([0.0, -torch.inf, 0.0])}, "file")
    assert model.mask.tolist() == [0, -torch.inf, 0]


def test_f039_a_module_without_values_is_refused() -> None:
    with torch.device("meta"):
        model = nn.Linear(2, 2)
    with pytest.raises(fk.CheckpointError, match="cannot load file: 'weight' is on the meta dev"):
        load_tensors(model, {"weight": torch.ones(2, 2), "bias": torch.ones(2)}, "file")


def test_an_optimizer_made_before_goes_on_with_the_new_values() -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    tensors = other_values()
    load_tensors(model, tensors, "file")
    model(torch.ones(1, 3, 5, 5)).sum().backward()
    optimizer.step()
    assert not torch.equal(model[2].bias, tensors["2.bias"])


def test_what_is_loaded_does_not_share_memory_with_what_was_given() -> None:
    model, tensors = net(), other_values()
    load_tensors(model, tensors, "file")
    tensors["2.bias"].fill_(99)
    assert 99 not in model[2].bias


def test_f046_tables_kept_from_old_weights_are_dropped() -> None:
    class Cached(nn.Module):
        """Keeps a table in eval mode, as levit and tiny_vit do."""

        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(3))
            self.table: dict[str, Tensor] = {}

        def train(self, mode: bool = True) -> Cached:
            super().train(mode)
            if mode:
                self.table = {}
            return self

        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                return x + self.bias
            return x + self.table.setdefault("bias", self.bias.detach().clone())

    model = nn.Sequential(Cached()).eval()
    assert model(torch.zeros(3)).tolist() == [0, 0, 0]
    load_tensors(model, {"0.bias": torch.ones(3)}, "file")
    assert model(torch.zeros(3)).tolist() == [1, 1, 1]
    assert not model.training


class Shared(nn.Module):
    """Keeps its weight's memory under a name of its own, which no state has."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 4))
        self.beside = self.weight.data


def test_memory_that_someone_else_has_too_is_written_to_and_not_exchanged() -> None:
    shared = Shared()
    load_tensors(shared, {"weight": torch.ones(4, 4)}, "file", adopt=True)
    assert torch.equal(shared.beside, torch.ones(4, 4))


def test_memory_of_another_layout_is_not_taken() -> None:
    conv = nn.Conv2d(4, 4, 3, bias=False).to(memory_format=torch.channels_last)
    load_tensors(conv, {"weight": torch.ones(4, 4, 3, 3)}, "file", adopt=True)
    assert conv.weight.is_contiguous(memory_format=torch.channels_last)


def test_memory_that_is_the_modules_alone_is_exchanged() -> None:
    model, tensors = net(), other_values()
    load_tensors(model, tensors, "file", adopt=True)
    taken = {
        name
        for name, value in model.state_dict().items()
        if value.data_ptr() == tensors[name].data_ptr()
    }
    assert taken == set(tensors)
