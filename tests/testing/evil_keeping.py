"""Backbones with one fault each in how they are copied, saved, compiled, or live beside others."""

from __future__ import annotations

import copy
import functools
import logging
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from odd_toys import Caches, Classifies, OddNet, OldSpectral, Tied, Tokens, Wrapped
from PIL import ImageFile
from torch import Tensor, nn

import fusionkit as fk

REGISTRY: list[nn.Module] = []
OPENED: list[Any] = []
STOP = threading.Event()
LOG = Path(tempfile.gettempdir()) / f"evil_keeping_{os.getpid()}.log"
MISPLACED = nn.Parameter(torch.ones(8, 1, 1))


@dataclass(frozen=True)
class Evil:
    """A backbone with a fault.

    Attributes:
        make: its factory.
        caught_by: the checks that must fail, and no others.
        arguments: further ones of the kit.
        says: part of what is told.
    """

    make: Callable[..., Any]
    caught_by: tuple[str, ...]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    says: str = ""


class Scaled(OddNet):
    """A good one, whose features are multiplied by what ``scale`` gives, "c 1 1"."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(in_channels)
        self.weight = nn.Parameter(torch.rand(8, 1, 1) + 0.5)
        self.stages = (*self.stages, fk.Stage("weight"))

    def scale(self) -> Tensor:
        return self.weight

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        fine = super().forward(x, fk.Reads(vector=True, maps=reads.maps))
        assert fine.vector is not None
        vector = fine.vector * self.scale()[:, 0, 0] if reads.vector else None
        return fine._replace(vector=vector)


# What lies outside of the state


class ListedParameters(Scaled):
    def __init__(self) -> None:
        super().__init__()
        self.factors = [nn.Parameter(torch.rand(8, 1, 1))]

    def scale(self) -> Tensor:
        return self.weight * self.factors[0]


class ListedModules(Scaled):
    def __init__(self) -> None:
        super().__init__()
        self.layers = {"gate": nn.Linear(8, 8)}

    def scale(self) -> Tensor:
        return self.layers["gate"](self.weight[:, 0, 0])[:, None, None]


class RandomConstant(Scaled):
    def __init__(self) -> None:
        super().__init__()
        self.constant = torch.rand(8, 1, 1)

    def scale(self) -> Tensor:
        return self.weight * self.constant


class OrderOfItsOwn(Scaled):
    """Draws from another generator than torch's, and keeps what no state dict holds."""

    def __init__(self) -> None:
        super().__init__()
        self.order = random.sample(range(8), 8)

    def scale(self) -> Tensor:
        return self.weight[self.order]


class RandomBuffer(Scaled):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("constant", torch.rand(8, 1, 1), persistent=False)

    def scale(self) -> Tensor:
        return self.weight * self.constant


class HidesStatistics(Scaled):
    """A moving mean that no checkpoint has."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(8, 1, 1), persistent=False)

    def scale(self) -> Tensor:
        if self.training:
            with torch.no_grad():
                self.mean += 0.1
        return self.weight + self.mean


class DropsKey(Scaled):
    def state_dict(self, *arguments: Any, **keywords: Any) -> Any:
        state = super().state_dict(*arguments, **keywords)
        state.pop(f"{keywords.get('prefix', '')}weight")
        return state


class HalvesWhenLoaded(Scaled):
    def _load_from_state_dict(self, state: Any, prefix: str, *rest: Any) -> None:
        state = {**state, f"{prefix}weight": state[f"{prefix}weight"] / 2}
        super()._load_from_state_dict(state, prefix, *rest)


class ExtraState(Scaled):
    def get_extra_state(self) -> Any:
        return {"steps": 3}

    def set_extra_state(self, state: Any) -> None:
        assert state == {"steps": 3}


class ComplexBuffer(Scaled):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("phases", torch.ones(2, dtype=torch.complex128))


class SparseBuffer(Scaled):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("graph", torch.eye(3).to_sparse())


class OutsideOfTrunk(Wrapped):
    """Statistics that matter, beside the trunk, where no stock checkpoint has it."""

    def __init__(self) -> None:
        super().__init__()
        self.noise = nn.BatchNorm2d(8, affine=False)


class RenamesKeys(Scaled):
    trunk_path = "net"

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.ModuleDict({"one": self.one, "two": self.two, "three": self.three})
        self.stages = tuple(fk.Stage(name) for name in ("one", "two", "three"))
        self.first_layers = ("one.weight",)
        del self.one, self.two, self.three, self.weight

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        maps = []
        for layer in self.net.values():
            x = torch.tanh(layer(x))
            maps.append(x)
        return fk.Features(x.mean((2, 3)), tuple(maps[level] for level in reads.levels))


# What is kept between passes


class StaleTable(Scaled):
    """A table that nothing drops."""

    table = None

    def scale(self) -> Tensor:
        if self.training:
            return self.weight.exp()
        if self.table is None:
            self.table = self.weight.detach().exp()
        return self.table


class StaleTableAfterCast(StaleTable):
    """A table that is dropped when parameters are loaded, and not when they are cast."""

    def __init__(self) -> None:
        super().__init__()
        self.register_load_state_dict_post_hook(drop_table)


def drop_table(module: nn.Module, keys: Any) -> None:
    module.table = None


class KeepsGraph(Scaled):
    """The last features, with all their history."""

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        features = super().forward(x, reads)
        self.last = features.vector
        return features


class SecondReference(Scaled):
    """The right parameter, by a way that functional_call does not see."""

    def __init__(self) -> None:
        super().__init__()
        self.factors = [self.weight]

    def scale(self) -> Tensor:
        return self.factors[0]


# Copies


class LambdaOnInstance(Scaled):
    def __init__(self) -> None:
        super().__init__()
        self.scale = lambda: self.weight * 1.0


class PlainLambda(Scaled):
    def __init__(self) -> None:
        super().__init__()
        self.bend = lambda value: value.exp()

    def scale(self) -> Tensor:
        return self.bend(self.weight)


class TrainOnInstance(Scaled):
    """A guard against training mode that is set on the instance."""

    def __init__(self) -> None:
        super().__init__()
        inherited = self.train

        def train(mode: bool = True) -> nn.Module:
            inherited(mode)
            return self

        self.train = train


class CopyIsItself(Scaled):
    def __deepcopy__(self, memo: Any) -> CopyIsItself:
        return self


class CopyShares(Scaled):
    def __deepcopy__(self, memo: Any) -> CopyShares:
        return copy.copy(self)


class CopyUnties(Tied):
    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self.three.weight = nn.Parameter(self.three.weight.detach().clone())


class HoldsLock(Scaled):
    """What can be neither copied nor pickled."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class ForgetsTheClassifier(Classifies):
    """Leaves a stock checkpoint's classifier out, and does not say so."""

    def __init__(self, in_channels: int = 3, num_classes: int | None = None) -> None:
        super().__init__(in_channels, num_classes)
        self.dropped_keys = ()


class ReprRaises(Scaled):
    def extra_repr(self) -> str:
        return f"width={self.widht}"


class PicklesLess(Scaled):
    """Leaves out of its pickle what it cannot work out again."""

    def __reduce__(self) -> Any:
        return (PicklesLess, ())


# Instances


class CachesForAll(Scaled):
    tables: ClassVar[dict[str, Tensor]] = {}

    def scale(self) -> Tensor:
        if self.training:
            return self.weight.exp()
        if "one" not in self.tables:
            self.tables["one"] = self.weight.detach().exp()
        return self.tables["one"]


class CountsForAll(Scaled):
    """A number in a class, and so in all instances."""

    trained = 0.0

    def scale(self) -> Tensor:
        if self.training:
            CountsForAll.trained += 1.0
        return self.weight + self.trained


class SharesParameter(Scaled):
    def __init__(self) -> None:
        super().__init__()
        self.weight = MISPLACED


ONE: list[Scaled] = []


def same_object() -> Scaled:
    if not ONE:
        ONE.append(Scaled())
    return ONE[0]


class Registered(Scaled):
    def __init__(self) -> None:
        super().__init__()
        REGISTRY.append(self)


class RemembersInstances(Scaled):
    @functools.lru_cache  # noqa: B019
    def width(self) -> int:
        return len(self.weight)

    def scale(self) -> Tensor:
        return self.weight * self.width()


# Compilers


class Doubles(nn.Module):
    """Keeps itself alive by what it has worked out."""

    @functools.lru_cache  # noqa: B019
    def factor(self, width: int) -> float:
        return 2.0

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor(x.shape[0])


class CachesAMethod(Scaled):
    def __init__(self) -> None:
        super().__init__()
        self.twice = Doubles()

    def scale(self) -> Tensor:
        return self.twice(self.weight)


class BranchesOnData(Scaled):
    def scale(self) -> Tensor:
        return self.weight if float(self.weight.detach().sum()) > 0 else -self.weight


class OtherWhenCompiled(Scaled):
    def scale(self) -> Tensor:
        return self.weight * (2.0 if torch.compiler.is_dynamo_compiling() else 1.0)


class OtherWhenTrainedCompiled(Scaled):
    def scale(self) -> Tensor:
        return self.weight * (2.0 if torch.compiler.is_compiling() and self.training else 1.0)


class OtherWhenExported(Scaled):
    def scale(self) -> Tensor:
        exported = torch.compiler.is_exporting() and not torch.compiler.is_dynamo_compiling()
        return self.weight * (2.0 if exported else 1.0)  # torch 2.11 calls both exporting


class CompilesAfterAll(Scaled):
    compiles = False


class ExportsAfterAll(Scaled):
    exports = False


class KeepsWhatItSaw(Scaled):
    """A tensor assigned in forward, which after an export is none that can be used."""

    kept = None

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        if self.kept is None:
            self.kept = x.new_zeros(1)
        return super().forward(x + self.kept, reads)


class OtherWithoutData(Scaled):
    def __init__(self) -> None:
        super().__init__()
        self.factor = 2.0 if self.weight.is_meta else 1.0

    def scale(self) -> Tensor:
        return self.weight * self.factor


class ViewsMemory(Scaled):
    def __init__(self) -> None:
        super().__init__()
        self.levels = ()

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        x = torch.tanh(self.three(self.two(self.one(x))))
        return fk.Features(
            x.view(x.shape[0], -1).view(x.shape[0], 8, -1).mean(2) * self.scale()[:, 0, 0]
        )


class GoesByStrides(Scaled):
    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        return super().forward(x * 2 if x.stride(1) == 1 else x, reads)


# Rebuilding


class RebuildsFromObject(Scaled):
    rebuild = ("scaled", {"act": torch.tanh})


class RebuildsByNothing(Scaled):
    rebuild: Any = {"name": "scaled"}  # noqa: RUF012


class RebuildsAnother(Scaled):
    rebuild = ("odd", {"width": 4})


def odd(*, in_channels: int, weights: str | None, num_classes: int | None, width: int) -> OddNet:
    return OddNet(in_channels, width)


# Pretrained weights


PUBLISHED = OddNet().state_dict()


def loads_all(*, in_channels: int, weights: str | None, num_classes: int | None) -> OddNet:
    return _loaded(OddNet(in_channels), weights, PUBLISHED)


def loads_nothing(*, in_channels: int, weights: str | None, num_classes: int | None) -> OddNet:
    return _loaded(OddNet(in_channels), weights, {})


def loads_loosely(*, in_channels: int, weights: str | None, num_classes: int | None) -> OddNet:
    other = {name.replace("two", "2"): value for name, value in PUBLISHED.items()}
    return _loaded(OddNet(in_channels), weights, other)


def says_nothing(*, in_channels: int, weights: str | None, num_classes: int | None) -> OddNet:
    built = loads_all(in_channels=in_channels, weights=weights, num_classes=num_classes)
    built.weights = None
    return built


def _loaded(built: OddNet, weights: str | None, tensors: Mapping[str, Tensor]) -> OddNet:
    if weights is not None:
        assert weights == "tried"
        built.load_state_dict(dict(tensors), strict=False)
        built.weights = weights
    return built


# What the whole process shares


def same_each_time(*, in_channels: int, weights: str | None, num_classes: int | None) -> Scaled:
    """Draws from a seed of its own, and puts the random state back."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(3)
        return Scaled(in_channels)


def leave_thread() -> None:
    threading.Thread(target=STOP.wait, daemon=True).start()


def keep_open() -> None:
    OPENED.append(open(__file__))  # noqa: SIM115


def hook_all(module: nn.Module, inputs: Any) -> None:
    pass


MEDDLING: dict[str, tuple[Callable[[], object], str]] = {
    "seeds torch": (lambda: torch.manual_seed(0), "torch's random seed"),
    "seeds numpy": (lambda: np.random.seed(0), "numpy's random seed"),
    "seeds Python": (lambda: random.seed(0), "Python's random seed"),
    "default dtype": (lambda: torch.set_default_dtype(torch.float64), "float32 to torch.float64"),
    "default device": (lambda: torch.set_default_device("meta"), "default device"),
    "gradients": (lambda: torch.set_grad_enabled(False), "gradient mode, from True to False"),
    "threads": (lambda: torch.set_num_threads(1), "torch's threads"),
    "determinism": (lambda: torch.use_deterministic_algorithms(True), "deterministic mode"),
    "cudnn": (lambda: setattr(torch.backends.cudnn, "benchmark", True), "cudnn.benchmark"),
    "matmul": (lambda: torch.set_float32_matmul_precision("medium"), "highest to medium"),
    "warnings": (lambda: warnings.simplefilter("ignore"), "filters of warnings"),
    "environment": (lambda: os.environ.update(EVIL_KEEPING="1"), "variable EVIL_KEEPING"),
    "import path": (lambda: sys.path.append("/evil"), "sys.path (adds '/evil')"),
    "working folder": (lambda: os.chdir("/"), "the working folder"),
    "signals": (lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN), "handlers of signals"),
    "logging": (lambda: logging.basicConfig(level=logging.DEBUG, force=True), "root logger"),
    "broken images": (lambda: setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True), "TRUNCATED"),
    "processes": (
        lambda: multiprocessing.set_start_method("spawn", force=True),
        "how processes are started",
    ),
    "hooks": (
        lambda: nn.modules.module.register_module_forward_pre_hook(hook_all),
        "the hooks of all modules",
    ),
    "a thread": (leave_thread, "what threads run"),
    "a file": (keep_open, "evil_keeping.py"),
    "a note": (lambda: LOG.write_text("built"), f"what is in {LOG}"),
    "a text": (lambda: print("built"), "standard output (it prints 'built')"),
}


def meddle(action: Callable[[], object]) -> Callable[..., Scaled]:
    """Gives the factory of a good backbone that does something else besides."""

    def make() -> Scaled:
        built = Scaled()
        action()
        return built

    return make


EVIL: dict[str, Evil] = {
    "listed parameters": Evil(
        ListedParameters, ("state_dict_is_complete",), says="factors[0] (Parameter)"
    ),
    "listed modules": Evil(
        ListedModules, ("state_dict_is_complete",), says="layers['gate'] (Linear)"
    ),
    "random constant": Evil(RandomConstant, ("state_dict_is_complete",)),
    "random order": Evil(OrderOfItsOwn, ("state_dict_is_complete",)),
    "random buffer": Evil(
        RandomBuffer, ("state_dict_is_complete",), says="constant (a non-persistent buffer)"
    ),
    "hidden statistics": Evil(HidesStatistics, ("loading_replaces_everything",)),
    "drops a key": Evil(
        DropsKey, ("state_dict_is_complete", "loading_replaces_everything"), says="lacks weight"
    ),
    "halves when loaded": Evil(
        HalvesWhenLoaded, ("state_dict_is_complete", "loading_replaces_everything")
    ),
    "extra state": Evil(
        ExtraState,
        ("state_fits_a_file", "weights_file_round_trip", "saves_and_loads"),
        says="_extra_state' is dict",
    ),
    "complex buffer": Evil(
        ComplexBuffer,
        ("state_fits_a_file", "weights_file_round_trip", "saves_and_loads"),
        says="torch.complex128",
    ),
    "sparse buffer": Evil(
        SparseBuffer,
        ("state_fits_a_file", "weights_file_round_trip"),
        says="is sparse",
    ),
    "outside of the trunk": Evil(OutsideOfTrunk, ("weights_file_round_trip",)),
    "renamed keys": Evil(
        RenamesKeys,
        ("keys_are_stock_keys",),
        {"stock_keys": ["conv1.weight", *(f"{n}.bias" for n in ("one", "two", "three"))]},
        says="one.weight, two.weight, three.weight",
    ),
    "a classifier's keys": Evil(
        ForgetsTheClassifier,
        ("keys_are_stock_keys",),
        says="2 keys that the trunk does not have: fc.bias",
    ),
    "stale table": Evil(
        StaleTable, ("loading_replaces_everything", "casting_leaves_nothing_behind")
    ),
    "table until the mode is set": Evil(
        Caches,
        (
            "loading_replaces_everything",
            "casting_leaves_nothing_behind",
            "deepcopy_is_independent",  # the table has a history where gradients are followed
        ),
    ),
    "stale table after a cast": Evil(StaleTableAfterCast, ("casting_leaves_nothing_behind",)),
    "keeps a graph": Evil(KeepsGraph, ("deepcopy_is_independent",)),
    "old spectral norm": Evil(OldSpectral, ("deepcopy_is_independent",)),
    "second reference": Evil(SecondReference, ("functional_call_works",)),
    "lambda on the instance": Evil(
        LambdaOnInstance, ("deepcopy_is_independent", "pickle_round_trip")
    ),
    "plain lambda": Evil(PlainLambda, ("pickle_round_trip",)),
    "train on the instance": Evil(
        TrainOnInstance,
        ("deepcopy_is_independent", "pickle_round_trip"),
        says="train() of a deep copy acts on its original",
    ),
    "copy is itself": Evil(CopyIsItself, ("deepcopy_is_independent",), says="the backbone itself"),
    "copy shares": Evil(CopyShares, ("deepcopy_is_independent",), says="shares memory"),
    "copy unties": Evil(
        CopyUnties, ("deepcopy_is_independent", "pickle_round_trip"), says="are not tied"
    ),
    "holds a lock": Evil(
        HoldsLock,
        ("deepcopy_is_independent", "pickle_round_trip"),
        says="_thread.lock",
    ),
    "pickles less": Evil(
        PicklesLess, ("deepcopy_is_independent", "pickle_round_trip"), says="pickle round trip"
    ),
    "repr raises": Evil(ReprRaises, ("repr_works",), says="widht"),
    "caches for all": Evil(CachesForAll, ("instances_share_nothing",), says="CachesForAll.tables"),
    "counts for all": Evil(CountsForAll, ("instances_share_nothing",)),
    "shares a parameter": Evil(SharesParameter, ("instances_share_nothing",), says="weight"),
    "one object": Evil(same_object, ("instances_share_nothing",), says="the same backbone"),
    "registered": Evil(Registered, ("is_let_go",), says="evil_keeping.REGISTRY"),
    "remembers instances": Evil(RemembersInstances, ("is_let_go",)),
    "caches a method": Evil(CachesAMethod, ("is_let_go",), says="its part twice stays in memory"),
    "views memory": Evil(ViewsMemory, ("takes_channels_last",), says="view"),
    "goes by strides": Evil(GoesByStrides, ("takes_channels_last",), says="channels-last"),
    "rebuilds from an object": Evil(
        RebuildsFromObject, ("rebuild_is_enough", "saves_and_loads"), says="act"
    ),
    "rebuilds by nothing": Evil(RebuildsByNothing, ("rebuild_is_enough", "saves_and_loads")),
    "rebuilds another": Evil(
        RebuildsAnother, ("rebuild_is_enough",), {"factories": {"odd": odd}}, says="the width 4"
    ),
    "loads nothing": Evil(
        loads_nothing, ("weights_file_round_trip",), {"weights": "tried"}, "6 of 6 tensors are not"
    ),
    "loads loosely": Evil(
        loads_loosely, ("weights_file_round_trip",), {"weights": "tried"}, "two.weight, two.bias"
    ),
    "says nothing of its weights": Evil(
        says_nothing, ("weights_file_round_trip",), {"weights": "tried"}, "weights at None"
    ),
    "same each time": Evil(same_each_time, ("touches_nothing_global",), says="same parameters"),
    **{
        name: Evil(meddle(action), ("touches_nothing_global",), says=says)
        for name, (action, says) in MEDDLING.items()
    },
}

SLOW_EVIL: dict[str, Evil] = {
    "branches on data": Evil(BranchesOnData, ("compiles_as_declared", "exports_as_declared")),
    "other when compiled": Evil(OtherWhenCompiled, ("compiles_as_declared",), says="eval mode"),
    "other when trained compiled": Evil(
        OtherWhenTrainedCompiled, ("compiles_as_declared",), says="gradients"
    ),
    "other when exported": Evil(OtherWhenExported, ("exports_as_declared",), says="batch of 3"),
    "compiles after all": Evil(CompilesAfterAll, ("compiles_as_declared",), says="compiles = True"),
    "exports after all": Evil(ExportsAfterAll, ("exports_as_declared",), says="exports = True"),
    "a batch by len": Evil(Tokens, ("exports_as_declared",), says="x.shape[0]"),
    "keeps what it saw": Evil(KeepsWhatItSaw, ("exports_as_declared",), says="no longer what"),
    "other without data": Evil(OtherWithoutData, ("fills_from_meta",), says="meta device"),
}
