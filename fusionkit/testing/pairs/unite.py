"""Makes one model of a pair, trains it for a step, saves it, and loads it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from fusionkit.assembly.compose import compose
from fusionkit.catalog import Catalog
from fusionkit.checkpoint.load import load
from fusionkit.checkpoint.save import save
from fusionkit.errors import AssemblyError, PolicyError
from fusionkit.features import Features
from fusionkit.model.fused import FusedModel
from fusionkit.policy.freeze import Freeze
from fusionkit.recipe.values import Branch
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.pairs.draw import Pair
from fusionkit.testing.perturb import perturb
from fusionkit.testing.seed import set_seed
from fusionkit.testing.sweep.sizes import make_small

__all__ = ["unite"]

NAMES = ("one", "two")
CLASSES = 3
BATCH = 2


def unite(
    pair: Pair, catalog: Catalog, folder: Path, tell: Callable[[str], None] = lambda step: None
) -> list[str]:
    """Gives what went wrong, in sentences; nothing if all went well.

    Args:
        pair: what is put together.
        catalog: where the names are found.
        folder: an empty one, to save into.
        tell: is called with what is done next.
    """
    wrong: list[str] = []
    tell("looking for small inputs")
    branches, inputs = _branches(pair, catalog)
    tell("composing")
    set_seed(pair.seed)
    model = _compose(branches, pair, catalog)
    perturb(model)
    if model.head.trains:
        tell("training")
        wrong += _train(model, inputs, pair.epoch)
    tell("saving")
    model.eval()
    with torch.no_grad():
        expected = model(inputs)
    if tuple(expected.shape) != (BATCH, CLASSES) or not bool(expected.isfinite().all()):
        wrong.append(f"the answer is of shape {tuple(expected.shape)}, or not finite")
    save(model, folder / "pair")
    tell("loading")
    again = load(folder / "pair", catalog=catalog)
    with torch.no_grad():
        if not torch.equal(again(inputs), expected):
            wrong.append("the loaded model gives another answer")
    return wrong


def _compose(branches: Mapping[str, Branch], pair: Pair, catalog: Catalog) -> FusedModel:
    """Composes, with all to learn where a policy asks for more stages or norms than are read."""
    try:
        return compose(branches, pair.head, CLASSES, catalog=catalog)
    except PolicyError:
        if not any(freeze.rule in ("only", "last") for freeze in pair.freeze):
            raise
    others = {
        name: replace(branch, freeze=Freeze.none())
        if branch.freeze.rule in ("only", "last")
        else branch
        for name, branch in branches.items()
    }
    return compose(others, pair.head, CLASSES, catalog=catalog)


def _branches(pair: Pair, catalog: Catalog) -> tuple[dict[str, Branch], dict[str, Any]]:
    branches = {}
    inputs = {}
    for place, name in enumerate(NAMES):
        backbone = pair.backbones[place]
        small = make_small(backbone, catalog.backbone(backbone).factory)
        inputs[name] = BackboneSubject(small.make).example(BATCH, seed=place)
        branches[name] = Branch(
            backbone,
            weights=None,
            options=dict(small.options),
            input=name,
            freeze=pair.freeze[place],
            lr=pair.lr[place],
        )
    return branches, inputs


def _train(model: FusedModel, inputs: Mapping[str, Any], epoch: int) -> list[str]:
    """Makes one step, and says what moved though it was frozen, and whether nothing moved."""
    optimizer = torch.optim.AdamW(model.param_groups(lr=1e-3, weight_decay=0.05))
    scheduler = model.lr_scheduler(optimizer, "cosine", total_steps=4)
    model.train().set_epoch(epoch)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    frozen = {name for name, value in model.named_parameters() if not value.requires_grad}
    features = model.features(pytree.tree_map_only(Tensor, Tensor.clone, dict(inputs)))
    answers = [model.fuse(features), *_branch_scores(model, features)]
    labels = torch.tensor([0, 2])
    torch.autograd.backward([nn.functional.cross_entropy(each, labels) for each in answers])
    dead = [n for n, v in model.named_parameters() if v.requires_grad and v.grad is None]
    optimizer.step()
    scheduler.step()
    moved = {n for n, v in model.named_parameters() if not torch.equal(v, before[n])}
    wrong = []
    if moved & frozen:
        wrong.append(f"{len(moved & frozen)} frozen parameters moved: {sorted(moved & frozen)[:3]}")
    if dead:
        wrong.append(f"{len(dead)} learning parameters have no gradient: {dead[:3]}")
    if not moved:
        wrong.append("nothing moved")
    return wrong


def _branch_scores(model: FusedModel, features: Mapping[str, Features]) -> list[Tensor]:
    """Gives what single branches say, where the head tells; parts of it may serve nothing else."""
    try:
        return list(model.head.branch_scores(features).values())
    except AssemblyError:
        return []
