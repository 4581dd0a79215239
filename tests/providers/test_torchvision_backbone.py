"""What a torchvision backbone gives, against torchvision's own model, for every family."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision_zoo import EXAMPLES, Example, perturb

from fusionkit import AssemblyError, Backbone, DataError, Features, Reads
from fusionkit.model.anatomy import read_anatomy


@dataclass
class Case:
    """A backbone that kept its classifier, one that dropped it, and torchvision's own model."""

    example: Example
    kept: Backbone
    dropped: Backbone
    stock: Any

    @property
    def every_level(self) -> tuple[int, ...]:
        return tuple(range(len(self.kept.levels)))

    @cached_property
    def full(self) -> Features:
        """What the first gives of the example's inputs, all of it; nothing is to be changed."""
        with torch.no_grad():
            return self.kept(self.example.inputs(), Reads(True, self.every_level, True))


@pytest.fixture(scope="module", params=EXAMPLES, ids=lambda example: example.name)
def case(request: pytest.FixtureRequest) -> Case:
    torch.manual_seed(0)
    example = request.param
    kept = example.build(num_classes=example.classes)
    perturb(kept.trunk, example.inputs())
    state = kept.trunk.state_dict()
    stock = example.stock()
    stock.load_state_dict(state, strict=example.name not in AUXILIARY, assign=True)
    for path in AUXILIARY.get(example.name, ()):
        setattr(stock, path, None)
    with example.meta():
        dropped = example.build()
    left = {key for key in state if any(fnmatchcase(key, glob) for glob in dropped.dropped_keys)}
    for key in left:
        del state[key]
    dropped.trunk.load_state_dict(state, strict=True, assign=True)
    return Case(example, kept.eval(), dropped.eval(), stock.eval())


AUXILIARY = {"googlenet": ("aux1", "aux2"), "inception_v3": ("AuxLogits",)}


def last_linear(stock: nn.Module) -> nn.Module:
    layers = (nn.Linear, nn.Conv2d, nn.Conv3d)
    return [module for module in stock.modules() if isinstance(module, layers)][-1]


def seen_by(layer: nn.Module, stock: nn.Module, x: Tensor) -> Tensor:
    seen = []
    handle = layer.register_forward_pre_hook(lambda _module, args: seen.append(args[0].clone()))
    with torch.no_grad():
        stock(x)
    handle.remove()
    (value,) = seen
    return value.flatten(2).mean(2) if value.ndim > 2 else value


@torch.no_grad()
def test_gives_what_torchvision_computes(case: Case) -> None:
    x = case.example.inputs()
    case.kept.check_input(x)
    features = case.full

    assert torch.equal(features.logits, case.stock(x))
    assert features.logits.shape == (len(x), case.kept.num_classes)
    vector = seen_by(last_linear(case.stock), case.stock, x)
    torch.testing.assert_close(features.vector, vector)
    assert features.vector.shape == (len(x), case.kept.embed_dim)
    torch.testing.assert_close(features.maps[-1], case.example.last_map(case.stock, x))
    other = case.kept(torch.zeros_like(x), Reads(vector=True)).vector
    assert not torch.allclose(features.vector, other), "the input must make a difference"


@torch.no_grad()
def test_a_dropped_classifier_changes_nothing_else(case: Case) -> None:
    x, full = case.example.inputs(), case.full

    features = case.dropped(x, Reads(True, case.every_level))

    assert case.dropped.num_classes is None
    assert case.dropped.embed_dim == case.kept.embed_dim
    assert case.dropped.levels == case.kept.levels
    assert torch.equal(features.vector, full.vector)
    assert torch.equal(case.dropped.trunk(x), full.vector)
    assert all(map(torch.equal, features.maps, full.maps))
    with pytest.raises(AssemblyError, match="its classifier was dropped"):
        case.dropped(x, Reads(logits=True))


@torch.no_grad()
def test_levels_are_what_comes_out(case: Case) -> None:
    backbone = copy.deepcopy(case.dropped).to("meta")
    x = case.example.inputs()
    reads = Reads(maps=case.every_level)
    maps = case.full.maps

    assert len(maps) == len(case.kept.levels) >= 4
    strides = [level.stride for level in case.kept.levels]
    assert strides == sorted(strides)
    for level, values in zip(case.kept.levels, maps, strict=True):
        assert values.ndim == 4
        assert values.shape[:2] == (len(x), level.channels)
    if case.kept.fixed_size is not None:
        assert all(v.shape[-1] * s == x.shape[-1] for v, s in zip(maps, strides, strict=True))
        return
    # Borders without padding cost some rows, but 64 more pixels give 64 / stride more rows.
    larger = x.new_empty((*x.shape[:-2], x.shape[-2] + 64, x.shape[-1] + 128), device="meta")
    for before, after, stride in zip(maps, backbone(larger, reads).maps, strides, strict=True):
        assert after.shape[2] - before.shape[2] == 64 // stride
        assert after.shape[3] - before.shape[3] == 128 // stride


@torch.no_grad()
def test_each_request_gives_the_same_as_the_full_one(case: Case) -> None:
    x, full = case.example.inputs(), case.full
    middle = len(case.kept.levels) // 2

    assert torch.equal(case.kept(x, Reads(vector=True)).vector, full.vector)
    assert torch.equal(case.kept(x, Reads(logits=True)).logits, full.logits)
    for level in (0, middle, len(case.kept.levels) - 1):
        features = case.kept(x, Reads(maps=(level,)))
        assert features.vector is None
        assert features.logits is None
        assert len(features.maps) == 1
        assert torch.equal(features.maps[0], full.maps[level])
    features = case.kept(x, Reads(vector=True, maps=(0, middle)))
    assert torch.equal(features.vector, full.vector)
    assert torch.equal(features.maps[1], full.maps[middle])


@torch.no_grad()
def test_what_is_not_read_does_not_run(case: Case) -> None:
    x = case.example.inputs()
    anatomy = read_anatomy(case.kept)
    block_of = {slot.name: slot.block for slot in anatomy.slots}
    ran: set[int] = set()
    handles = []
    for path, module in case.kept.trunk.named_modules():
        names = [f"{path}.{name}" for name, _ in module.named_parameters(recurse=False) if path]
        if names:
            handles.append(
                module.register_forward_hook(
                    lambda *_, names=names: ran.update(block_of[name] for name in names)
                )
            )
    reached = []
    ends = (0, len(case.kept.levels) - 1)
    for reads in (*(Reads(maps=(level,)) for level in ends), Reads(vector=True)):
        ran.clear()
        case.kept(x, reads)
        reached.append(max(ran))
    ran.clear()
    case.kept(x, Reads())
    for handle in handles:
        handle.remove()

    assert not ran, "nothing was read"
    assert reached == sorted(reached)
    assert reached[0] < reached[-1] < max(block_of.values()), "the classifier did not run"
    assert reached[0] <= 4


@torch.no_grad()
def test_every_parameter_is_in_one_block_and_blocks_run_in_order(case: Case) -> None:
    slots = read_anatomy(case.kept).slots
    block_of = {slot.name: slot.block for slot in slots}
    order: list[int] = []
    handles = [
        module.register_forward_pre_hook(
            lambda *_, names=names: order.extend(block_of[name] for name in names)
        )
        for path, module in case.kept.trunk.named_modules()
        if (names := [f"{path}.{n}".lstrip(".") for n, _ in module.named_parameters(recurse=False)])
    ]
    case.kept.trunk(case.example.inputs())
    for handle in handles:
        handle.remove()

    assert set(block_of) == {name for name, _ in case.kept.trunk.named_parameters()}
    assert order == sorted(order)
    names = [stage.name for stage in case.kept.stages]
    assert names[0] == "stem"
    assert names[-1] == "classifier"
    assert [stage.name for stage in case.dropped.stages] == names[:-1]
    assert len(names) >= 5


def test_stock_keys_are_the_trunks_own(case: Case) -> None:
    stock = set(case.example.stock().state_dict())

    for backbone in (case.kept, case.dropped):
        own = set(backbone.trunk.state_dict())
        ignored = {
            key for key in stock if any(fnmatchcase(key, glob) for glob in backbone.dropped_keys)
        }
        assert own == stock - ignored
    assert case.kept.dropped_keys == tuple(
        f"{path}.*" for path in AUXILIARY.get(case.example.name, ())
    )


def test_train_mode_gives_single_tensors_with_gradients(case: Case) -> None:
    backbone = copy.deepcopy(case.kept).train()
    backbone.zero_grad()

    features = backbone(case.example.inputs(), Reads(True, case.every_level, True))
    assert isinstance(features.logits, Tensor)
    sum(values.float().pow(2).mean() for values in (features.vector, *features.maps)).backward()

    classifier = {slot.name for slot in read_anatomy(backbone).slots}
    classifier &= {
        name
        for name, _ in backbone.trunk.named_parameters()
        if any(fnmatchcase(name, glob) for glob in case.dropped.dropped_keys)
    }
    for name, parameter in backbone.trunk.named_parameters():
        assert (parameter.grad is None) == (name in classifier), name


def test_copies_and_pickles_at_any_moment(case: Case) -> None:
    reads = Reads(True, (0, len(case.kept.levels) - 1), True)
    x = case.example.inputs()
    backbone = copy.deepcopy(case.kept)
    full = case.full
    expected = full._replace(maps=(full.maps[0], full.maps[-1]))
    features = backbone.train()(x, reads)
    features.logits.sum().backward()

    with torch.no_grad():
        copied = copy.deepcopy(case.kept)(x, reads)
        pickled = pickle.loads(pickle.dumps(case.kept))(x, reads)
        after = copy.deepcopy(backbone)
    after.trunk.load_state_dict(case.kept.trunk.state_dict())
    with torch.no_grad():
        trained = after.eval()(x, reads)

    for other in (copied, pickled, trained):
        assert torch.equal(other.vector, expected.vector)
        assert torch.equal(other.logits, expected.logits)
        assert all(map(torch.equal, other.maps, expected.maps))


@pytest.mark.parametrize("channels", [1, 20])
@torch.no_grad()
def test_takes_other_channels(case: Case, channels: int) -> None:
    with case.example.meta():
        backbone = case.example.build(in_channels=channels)

    (name,) = backbone.first_layers
    weight = backbone.trunk.get_parameter(name)
    stock = case.kept.trunk.get_parameter(name)
    assert weight.shape == (stock.shape[0], channels, *stock.shape[2:])
    assert backbone.in_channels == channels
    assert backbone.preprocessing is not None
    assert len(backbone.preprocessing.mean) == channels
    assert backbone.levels == case.kept.levels
    assert [stage.name for stage in backbone.stages] == [s.name for s in case.dropped.stages]
    with case.example.meta():
        x = torch.empty(case.example.inputs(channels).shape)
    vector = backbone.eval()(x, Reads(vector=True)).vector
    assert vector.shape == (len(x), backbone.embed_dim)


def test_refuses_wrong_inputs(case: Case) -> None:
    x = case.example.inputs()
    pattern = "'b c t h w'" if case.example.frames else "'b c h w'"
    with pytest.raises(DataError, match=f"takes a batch of .* {pattern}, got shape"):
        case.kept.check_input(x[0])
    with pytest.raises(DataError, match=f"takes a tensor {pattern}, got list"):
        case.kept.check_input([x])
    with pytest.raises(DataError, match=r"takes 3 channels, got 1 .*in_channels=1"):
        case.kept.check_input(x[:, :1])
    least = case.kept.least_size
    if case.kept.fixed_size is not None:
        with pytest.raises(DataError, match=f"takes images of exactly {case.example.size} x"):
            case.kept.check_input(x[..., :-1])
    elif least > 1:
        with pytest.raises(DataError, match=f"takes images of at least {least} x {least} pixels"):
            case.kept.check_input(x[..., : least - 1])


@torch.no_grad()
def test_the_least_size_is_what_the_trunk_truly_needs(case: Case) -> None:
    if case.kept.fixed_size is not None:
        assert case.kept.least_size == 1
        return
    trunk = copy.deepcopy(case.dropped.trunk).to("meta")
    least = case.kept.least_size
    leading = case.example.inputs().shape[:-2]

    trunk(torch.empty(*leading, least, least, device="meta"))
    if least > 1:
        with pytest.raises((RuntimeError, ValueError)):
            trunk(torch.empty(*leading, least - 1, least - 1, device="meta"))


def test_a_video_model_says_how_many_frames_it_takes() -> None:
    backbone = EXAMPLES[-2].build()  # S3D
    x = torch.empty(1, 3, 12, 224, 224)
    with pytest.raises(DataError, match="takes clips of at least 13 frames, got 12"):
        backbone.check_input(x)
    backbone = EXAMPLES[-4].build()  # MViT
    with pytest.raises(DataError, match="takes clips of exactly 4 frames, got 12"):
        backbone.check_input(x)


def test_example_is_taken_and_the_same_each_time(case: Case) -> None:
    example = case.kept.example(1)

    case.kept.check_input(example)
    assert torch.equal(example, case.kept.example(1))
    assert example.ndim == (5 if case.example.frames else 4)
