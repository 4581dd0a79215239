"""Checkpoints as timm and torchvision write them, of every family, loaded as a branch's weights.

What is compared with is the provider's own model with the same file, with and without classifier.
The largest are asked by header alone: a file of their names and shapes, without the values.
"""

from __future__ import annotations

import json
import struct
from math import prod
from pathlib import Path
from typing import Any

import pytest
import timm
import timm_zoo
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import get_model_builder
from torchvision_zoo import EXAMPLES, Example, small_clips

import fusionkit as fk
from fusionkit.assembly.load_plan import plan_trunk
from fusionkit.tensors.source import open_source
from fusionkit.testing.sweep.coverage import read_results
from fusionkit.testing.sweep.row import Row

RESULTS = Path(__file__).parents[2] / "coverage"
LARGE = 8_000_000
"""Parameters, above which a file is asked by its header."""


def smallest() -> list[Row]:
    """Gives the smallest model of each of timm's families, as the sweep found it."""
    rows = read_results(RESULTS)["timm"] if RESULTS.is_dir() else ()
    chosen: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: (row.parameters, row.model)):
        chosen.setdefault(row.family, row)
    return list(chosen.values())


def parametrize(rows: list[Row]) -> Any:
    cases = [pytest.param(row, id=row.model.partition("/")[2]) for row in rows]
    return pytest.mark.parametrize("row", cases)


FAMILIES = smallest()


def write(model: nn.Module, path: Path) -> Path:
    """Writes a model's own state, each tensor by each of its names."""
    save_file({name: value.clone() for name, value in model.state_dict().items()}, path)
    return path


def branch_of(name: str, path: Path, classes: int | None, **options: Any) -> fk.Backbone:
    """Gives the branch of a composed model, with a classifier of so many classes or without."""
    branch = fk.Branch(name, weights=path, classifier=classes is not None, options=options)
    head = fk.Head("concat" if classes is None else "mean_probabilities")
    model = fk.compose({"one": branch}, head, num_classes=classes or 2).eval()
    backbone = model.branches["one"]
    report = backbone.load_report
    assert report.loaded
    assert not (report.missing)
    assert not (report.unexpected)
    assert not (report.mismatched)
    assert not (report.kept)
    assert not (report.renamed)
    assert not (report.converted)
    assert not (report.resized)
    assert not (report.adapted)
    assert set(report.loaded) == set(backbone.trunk.state_dict())
    return backbone


def assert_same(ours: Tensor, theirs: Tensor) -> None:
    assert theirs.isfinite().all()
    assert torch.equal(ours, theirs)


def test_there_is_a_model_of_every_family() -> None:
    if not FAMILIES:
        pytest.skip("the results of a sweep, coverage/, are not in this copy")
    assert len(FAMILIES) > 90


@parametrize([row for row in FAMILIES if row.parameters <= LARGE])
@torch.no_grad()
def test_a_file_of_timms_gives_what_timms_own_model_gives(row: Row, tmp_path: Path) -> None:
    torch.manual_seed(0)
    name = row.model.partition("/")[2]
    stock = timm.create_model(name, **row.options).eval()
    timm_zoo.perturb(stock)
    path = write(stock, tmp_path / "model.safetensors")
    x = torch.randn(1, *map(int, row.input.split()), generator=torch.Generator().manual_seed(1))
    if stock.num_classes:
        kept = branch_of(row.model, path, stock.num_classes, **row.options)
        assert_same(kept(x, fk.Reads(logits=True)).logits, stock(x))
    dropped = branch_of(row.model, path, None, **row.options)
    headless = timm.create_model(name, num_classes=0, **row.options).eval()
    names = headless.state_dict().keys()
    headless.load_state_dict({n: v for n, v in stock.state_dict().items() if n in names})
    assert_same(dropped(x, fk.Reads(vector=True)).vector, headless(x))


@parametrize([row for row in FAMILIES if row.parameters > LARGE])
def test_a_large_file_of_timms_has_every_name_and_shape(row: Row, tmp_path: Path) -> None:
    with torch.device("meta"):
        stock = timm.create_model(row.model.partition("/")[2], **row.options)
        backbone = fk.Catalog.installed().backbone(row.model).factory(**row.options)
    assert_every_name_and_shape(stock, backbone, tmp_path / "model.safetensors")


def assert_every_name_and_shape(stock: nn.Module, backbone: fk.Backbone, path: Path) -> None:
    write_header(stock, path)
    report = plan_trunk(backbone, open_source(path), fk.Weights(path))
    assert not report.problems()
    assert not report.renamed
    assert set(report.loaded) == set(backbone.trunk.state_dict())
    assert set(report.loaded) | set(report.ignored) == set(stock.state_dict())


def write_header(model: nn.Module, path: Path) -> Path:
    """Writes a file with a header and a hole for its values, which takes no room on the disk."""
    header, start = {}, 0
    for name, value in model.state_dict().items():
        kind = {torch.float32: ("F32", 4), torch.int64: ("I64", 8)}[value.dtype]
        end = start + prod(value.shape) * kind[1]
        header[name] = {
            "dtype": kind[0], "shape": list(value.shape), "data_offsets": [start, end]
        }  # fmt: skip
        start = end
    raw = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        file.truncate(file.tell() + start)
    return path


HEAVY = (
    *("alexnet", "vgg11_bn", "vit_b_32", "maxvit_t", "efficientnet_v2_s", "swin_v2_t"),
    *("mvit_v2_s", "swin3d_t", "r3d_18", "s3d"),
)
"""Asked by the header; each family's own answer is compared in test_torchvision_backbone.py."""


def of(*, heavy: bool) -> Any:
    chosen = [example for example in EXAMPLES if (example.name in HEAVY) is heavy]
    return pytest.mark.parametrize("example", chosen, ids=lambda example: example.name)


def build_stock(example: Example) -> Any:
    auxiliary = {"init_weights": False} if example.name in ("googlenet", "inception_v3") else {}
    return get_model_builder(example.name)(weights=None, **example.options, **auxiliary)


@of(heavy=False)
@torch.no_grad()
def test_a_file_of_torchvisions_gives_what_its_own_model_gives(
    example: Example, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    stock = build_stock(example)
    timm_zoo.perturb(stock)
    path = write(stock.eval(), tmp_path / "model.safetensors")
    name = f"torchvision/{example.name}"
    kept = branch_of(name, path, example.classes, **example.options)
    dropped = branch_of(name, path, None, **example.options)
    x = example.inputs()[:1]
    features = kept(x, fk.Reads(vector=True, logits=True))
    assert_same(features.logits, stock(x))
    assert_same(dropped(x, fk.Reads(vector=True)).vector, features.vector)


@of(heavy=True)
@pytest.mark.parametrize("classifier", [True, False], ids=["kept", "dropped"])
def test_a_heavy_file_of_torchvisions_has_every_name_and_shape(
    example: Example, classifier: bool, tmp_path: Path
) -> None:
    with example.meta(), small_clips():
        stock = build_stock(example)
        backbone = example.build(num_classes=example.classes if classifier else None)
    assert_every_name_and_shape(stock, backbone, tmp_path / "model.safetensors")
