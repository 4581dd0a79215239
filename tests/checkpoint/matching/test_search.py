"""A file is held against all architectures, the likeliest first."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

import fusionkit as fk
from fusionkit.checkpoint.matching.search import search


class Net(fk.Backbone):
    """Layers of given widths."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.embed_dim = widths[-1]
        self.dropped_keys = ("fc.*",)
        self.first_layers = ("layers.0.weight",)
        pairs = zip((3, *widths), widths, strict=False)
        self.layers = nn.Sequential(*(nn.Conv2d(one, two, 1) for one, two in pairs))
        self.stages = (fk.Stage("layers"),)

    def forward(self, x, reads): ...


def factory(*widths):
    def build(*, in_channels, weights, num_classes):
        return Net(*widths)

    return build


def broken(*, in_channels, weights, num_classes):
    raise ValueError("no such layer")


MODELS = {
    "other10": factory(9),
    "net10": factory(4, 5),
    "net10_same": factory(4, 5),
    "net20": factory(4, 5, 6),
    "netx10": factory(4, 5),
    "wide10": factory(4, 5),
    "broken": broken,
}


@pytest.fixture
def catalog():
    offered = fk.hookimpl(lambda: MODELS)
    return fk.Catalog().with_plugin("toys", SimpleNamespace(fusionkit_backbones=offered))


def shapes(*widths, before="", **more):
    own = {before + name: tuple(v.shape) for name, v in Net(*widths).state_dict().items()}
    return {**own, **more}


def run(catalog, theirs, hint="", **options):
    asked = []
    names = catalog.backbones()
    found = search(catalog, names, theirs, hint, on_step=asked.append, **options)
    return found, asked


def test_what_the_file_is_named_after_is_tried_first_and_alone_with_its_kin(catalog):
    found, asked = run(catalog, shapes(4, 5, before="module."), "my-NET10_final")
    assert asked[0] == "toys/net10"
    assert "toys/wide10" not in asked
    assert not found.whole
    best = found.found[0]
    assert best.names == ("toys/net10", "toys/net10_same")
    assert (best.fits, best.needed, best.alike, best.left_over) == (True, 4, 4, 0)


def test_all_of_one_layout_are_one_answer(catalog):
    found, asked = run(catalog, shapes(4, 5), everything=True)
    assert sorted(asked) == sorted(catalog.backbones())
    assert found.whole
    assert set(found.found[0].names) == {
        "toys/net10",
        "toys/net10_same",
        "toys/netx10",
        "toys/wide10",
    }
    assert found.failed == ("toys/broken",)


def test_a_smaller_trunk_fits_too_but_stands_behind(catalog):
    found, _ = run(catalog, shapes(4, 5, 6), everything=True)
    fitting = [each for each in found.found if each.fits]
    assert [each.left_over for each in fitting] == [0, 2]
    assert fitting[0].names == ("toys/net20",)


def test_a_classifier_is_not_left_over(catalog):
    theirs = shapes(4, 5, **{"fc.weight": (10, 5), "fc.bias": (10,)})
    found, _ = run(catalog, theirs)
    assert found.found[0].left_over == 0


def test_a_file_of_other_channels_is_found(catalog):
    theirs = shapes(4, 5, before="module.", **{"module.layers.0.weight": (4, 6, 1, 1)})
    found, _ = run(catalog, theirs, "net10")
    assert (found.found[0].fits, found.found[0].left_over) == (True, 0)
    assert "toys/net10" in found.found[0].names
    theirs["module.layers.0.weight"] = (6, 6, 1, 1)  # of other outputs, too
    found, _ = run(catalog, theirs, everything=True)
    assert not found.found[0].fits
    assert found.found[0].alike == 3


def test_what_is_near_is_told_by_shapes(catalog):
    theirs = {f"renamed{number}": shape for number, shape in enumerate(shapes(4, 5).values())}
    found, _ = run(catalog, theirs)
    assert not any(each.fits for each in found.found)
    assert found.found[0].likeness == pytest.approx(1.0)
    assert found.found[0].alike == 4


def test_nothing_is_built_in_memory(catalog, monkeypatch):
    from fusionkit.checkpoint.matching import layout

    built = []
    build = layout.build_weightless
    monkeypatch.setattr(
        layout, "build_weightless", lambda entry: built.append(build(entry)) or built[-1]
    )
    run(catalog, shapes(4, 5), everything=True)
    assert len(built) == 6
    assert all(value.is_meta for each in built for value in each.parameters())
    assert torch.get_default_device().type == "cpu"
