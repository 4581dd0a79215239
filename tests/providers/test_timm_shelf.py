"""What is written of descriptions can be read again, and what they share is written once."""

from __future__ import annotations

from dataclasses import replace

import pytest

import fusionkit as fk
from fusionkit.providers.timm.description import Description
from fusionkit.providers.timm.shelf import look_up, write_shelf

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
    ("net", (96, 96), False, True): ("timm.Net 12ab", PLAIN),
    ("net", (96, 96), True, True): ("timm.Net 34cd", FULL),
    ("net", (224, 96), False, True): ("timm.Net 12ab", PLAIN),
    ("net2", (96, 96), False, False): ("timm.Net 56ef", replace(PLAIN, pools=True)),
}
TEXT = write_shelf((way, *found) for way, found in WAYS.items())


@pytest.mark.parametrize("way", WAYS)
def test_what_was_written_is_found(way):
    assert look_up(TEXT, *way) == WAYS[way]


@pytest.mark.parametrize(
    "way",
    [
        ("ne", (96, 96), False, True),
        ("net", (96, 96), False, False),
        ("net", (96, 9), False, True),
        ("et", (96, 96), True, True),
        ("net2", (96, 96), False, True),
    ],
)
def test_nothing_else_is(way):
    assert look_up(TEXT, *way) is None
    assert look_up("", *way) is None


def test_what_is_read_off_the_model_is_left_out():
    decays = replace(PLAIN, no_weight_decay=frozenset(("token",)))
    way = next(iter(WAYS))
    assert look_up(write_shelf([(way, "x y", decays)]), *way) == ("x y", PLAIN)


def test_the_order_does_not_matter_and_parts_stand_once():
    again = write_shelf((way, *found) for way, found in reversed(WAYS.items()))
    assert again == TEXT
    assert TEXT.count('"stem"') == 1
    assert len([line for line in TEXT.splitlines() if line.startswith("=")]) == 4
