"""Whether weights come back from a file, and whole models from a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from fusionkit.assembly.branch import build_backbone
from fusionkit.checkpoint.contents import TENSORS
from fusionkit.checkpoint.load import load
from fusionkit.checkpoint.save import save
from fusionkit.errors import CheckpointError
from fusionkit.model.anatomy import trunk_of
from fusionkit.recipe.values import Branch
from fusionkit.tensors.read import read_tensors
from fusionkit.tensors.state import state_of
from fusionkit.tensors.write import write_tensors
from fusionkit.testing.backbones.keeping.answers import difference, require_steady, ties
from fusionkit.testing.backbones.keeping.emptied import EmptiedProvider
from fusionkit.testing.backbones.learning.models import require_composed
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, check
from fusionkit.testing.seed import set_seed
from fusionkit.testing.words import some

__all__ = ["saves_and_loads", "weights_file_round_trip"]

SEEDS = (1, 2)


@check("let a safetensors file of the trunk's own state dict be loaded by its keys")
def weights_file_round_trip(subject: BackboneSubject) -> Iterator[Finding]:
    """A safetensors file of the trunk, given as ``weights=``, fills every tensor with its bits.

    So do the pretrained weights whose name the kit was told.
    """
    if subject.weights is not None:
        yield from _drawn_all_the_same(subject, subject.weights)
    provider = EmptiedProvider(subject)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "trunk.safetensors"
        write_tensors(path, _once(state_of(trunk_of(subject.pristine))))
        branch = Branch("subject/it", weights=path, in_channels=subject.pristine.in_channels)
        backbone = build_backbone(branch, provider.build, None, load_weights=True).eval()
        wanted = read_tensors(path)
    now = trunk_of(backbone).state_dict()
    wrong = [name for name, value in wanted.items() if not _same_bits(now.get(name), value)]
    if wrong:
        yield Finding(
            f"{len(wrong)} of {len(wanted)} tensors are not those of the file: {some(wrong)}",
            "hand out parameters and buffers themselves in the state dict, and change none when "
            "it is loaded",
        )
    if ties(backbone) != ties(subject.copy()):
        yield Finding(
            "tied parameters are not tied after a file was loaded",
            "tie them in __init__, and do not untie them when they are loaded",
        )
    told = difference(subject.run(backbone, subject.example()), subject.answer)
    if told and not wrong:
        require_steady(subject)
        yield Finding(
            f"loaded from a file: {told}",
            "hold all that matters inside of trunk_path, where a stock checkpoint has its keys",
        )


@check("let a fused model of it be saved and loaded: plain options, and state in dense tensors")
def saves_and_loads(subject: BackboneSubject) -> Iterator[Finding]:
    """A fused model comes back from ``save`` and ``load`` bit for bit, without its weights' tag."""
    require_composed(subject)
    model = subject.compose().eval()
    given = {model.recipe.branches["a"].input: subject.example()}
    provider = EmptiedProvider(subject)
    with torch.no_grad():
        wanted = model(given)
    with TemporaryDirectory() as folder:
        saved = save(model, Path(folder) / "model")
        back = load(saved, catalog=provider.make_catalog())
        damaged = saved / TENSORS
        _flip_last_byte(damaged)
        try:
            load(saved, catalog=provider.make_catalog())
        except CheckpointError:
            pass
        else:
            yield Finding("a flipped byte of the saved tensors went unnoticed", "report it")
    asked = [weights for weights in provider.asked_for if weights is not None]
    if asked:
        yield Finding(f"load asked for the weights {some(asked)}", "report it")
    if ties(back) != ties(model):
        yield Finding(
            "tied parameters are not tied after save and load",
            "tie them in __init__, so that a backbone that is built anew has them tied",
        )
    with torch.no_grad():
        got = back(given)
    if not torch.allclose(got, wanted, rtol=0, atol=0, equal_nan=True):
        require_steady(subject)
        off = float((got - wanted).abs().nan_to_num(nan=torch.inf).max())
        yield Finding(
            f"saved and loaded, the answer is off by up to {off:.2g}",
            "hold all that matters in parameters and persistent buffers",
        )


def _drawn_all_the_same(subject: BackboneSubject, weights: str) -> Iterator[Finding]:
    """Tells what is drawn at random though weights were asked for."""
    built = []
    for seed in SEEDS:
        set_seed(seed)
        built.append(subject.build(weights=weights))
    first, second = (trunk_of(each).state_dict() for each in built)
    if built[0].weights is None:
        yield Finding(
            f"asked for the weights {weights!r}, it leaves backbone.weights at None",
            "set self.weights to the name of what was loaded",
        )
    elif drawn := [n for n, value in first.items() if not _same_bits(second.get(n), value)]:
        yield Finding(
            f"asked twice for the weights {weights!r}, {len(drawn)} of {len(first)} tensors are "
            f"not the same: {some(drawn)}",
            "load what is asked for, with load_state_dict(tensors) and without strict=False, so "
            "that a key which is missing is an error",
        )


def _once(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gives every tensor under one name, as checkpoints have tied ones."""
    first: dict[int, str] = {}
    return {
        name: value for name, value in state.items() if first.setdefault(id(value), name) == name
    }


def _same_bits(ours: Tensor | None, theirs: Tensor) -> bool:
    if ours is None or ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return False
    mine, other = (value.contiguous().flatten().view(torch.uint8) for value in (ours, theirs))
    return torch.equal(mine, other)


def _flip_last_byte(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)[0]
        file.seek(-1, 2)
        file.write(bytes([last ^ 1]))
