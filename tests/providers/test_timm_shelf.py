"""What is written of descriptions can be read again, and what they share is written once."""

from __future__ import annotations

from dataclasses import replace

import pytest

import fusionkit as fk
from fusionkit.providers.timm.description import Description
from fusionkit.providers.timm.shelf import Known, Way, look_up, write_shelf

PLAIN = Description(
    embed_dim=8,
    stages=(fk.Stage("stem", "conv"), fk.Stage("body", "body.0", ("body.1", "norm"))),
    levels=(),
    level_indices=(),
    pools=False,
    fixed_size=None,
    size_multiple=1,
    first_layers=(),
    unadaptable=(),
    dropped_keys=(),
    no_weight_decay=frozenset(),
    unread={"vector": ()},
)
FULL = replace(
    PLAIN,
    embed_dim=1,
    levels=(fk.Level(8, 2), fk.Level(1, 1)),
    level_indices=(0, 3),
    pools=True,
    fixed_size=(96, 1),
    size_multiple=16,
    first_layers=("conv.weight",),
    unadaptable=("gate",),
    dropped_keys=("head.*",),
    unread={"vector": ("fc.weight",), "logits": ("token",)},
)
WAYS = {
    Way("net", (96, 96), False, True): Known("timm.Net 12ab", PLAIN),
    Way("net", (96, 96), True, True): Known("timm.Net 34cd", FULL),
    Way("net", (224, 96), False, True): Known("timm.Net 12ab", PLAIN),
    Way("net2", (96, 96), False, False): Known("timm.Net 56ef", replace(PLAIN, pools=True)),
}
TEXT = write_shelf(WAYS)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_what_was_written_is_found(way):
    assert look_up(TEXT, way) == WAYS[way]


@pytest.mark.parametrize(
    "way",
    [
        Way("ne", (96, 96), False, True),
        Way("net", (96, 96), False, False),
        Way("net", (96, 9), False, True),
        Way("et", (96, 96), True, True),
        Way("net2", (96, 96), False, True),
    ],
)
def test_nothing_else_is(way):
    assert look_up(TEXT, way) is None
    assert look_up("", way) is None


def test_what_is_read_off_the_model_is_left_out():
    decays = replace(PLAIN, no_weight_decay=frozenset(("token",)))
    way = next(iter(WAYS))
    assert look_up(write_shelf({way: Known("x y", decays)}), way) == Known("x y", PLAIN)


def test_the_order_does_not_matter_and_parts_stand_once():
    again = write_shelf(dict(reversed(WAYS.items())))
    assert again == TEXT
    assert TEXT.count('"stem"') == 1
    assert len([line for line in TEXT.splitlines() if line.startswith("=")]) == 4
