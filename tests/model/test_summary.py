"""The summary's numbers are right, and it can be read in any terminal."""

from __future__ import annotations

import io

import pytest
from odd_toys import OddNet, branch, build, odd_catalog
from rich.console import Console
from torch import nn

import fusionkit as fk


def model():
    return build(
        {
            "a": branch(
                "tiny",
                freeze=fk.Freeze.gradual(start=2, every=3),
                lr=fk.LR(0.1, layer_decay=0.5, warmup=1, by="block"),
            ),
            "b": branch("author_frozen", input="flow", in_channels=5, lr=fk.LR(2.0)),
            "c": branch("odd", freeze=fk.Freeze.all()),
            "d": branch("odd", freeze=fk.Freeze.only("bias")),
        }
    )


def rows(summary):
    return {(row.branch, row.stage): row for row in summary.rows}


def test_counts_are_those_of_the_model():
    fused = model()
    for epoch in (0, 2, 5, 8):
        table = rows(fused.set_epoch(epoch).summary())
        for name, backbone in [*fused.branches.items(), ("head", fused.head), ("total", fused)]:
            row = table[name, ""]
            assert row.parameters == sum(value.numel() for value in backbone.parameters())
            learning = [value.numel() for value in backbone.parameters() if value.requires_grad]
            assert row.trainable == sum(learning)
        for name in fused.branches:
            stages = [row for row in table.values() if row.branch == name and row.stage]
            assert sum(row.parameters for row in stages) == table[name, ""].parameters
            assert sum(row.trainable for row in stages) == table[name, ""].trainable


def test_notes_say_what_is_frozen_and_until_when():
    fused = model()
    table = rows(fused.summary())
    notes = {stage: table["a", stage].note for stage in ("stem", "body", "top")}
    assert notes == {
        "stem": "frozen until epoch 8",
        "body": "frozen until epoch 5",
        "top": "frozen until epoch 2",
    }
    assert table["b", "one"].note == "part never learns"
    assert table["b", "two"].note == "never learns"
    assert table["b", "three"].note == ""
    assert table["c", "one"].note == "frozen"
    assert table["d", "one"].note == "partly frozen"
    assert table["b", ""].note == "odd/author_frozen (random weights), input 'flow', 5 x 16 x 16"
    assert table["a", ""].note == "odd/tiny (random weights), input 'image'"
    assert table["head", ""].note == "odd/sum, reads vectors"
    table = rows(fused.set_epoch(5).summary())
    assert [table["a", stage].note for stage in ("stem", "body", "top")] == [
        "frozen until epoch 8",
        "",
        "",
    ]


@pytest.mark.parametrize("epoch", [0, 2, 3, 8, 20])
def test_rates_are_those_of_the_groups(epoch):
    fused = model().set_epoch(epoch)
    optimizer_rates: dict[tuple[str, str], set[float]] = {}
    for group in fused.param_groups(lr=0.01):
        if any(value.requires_grad for value in group["params"]) and group["name"].count("/") > 1:
            branch_name, stage = group["name"].split("/")[:2]
            optimizer_rates.setdefault((branch_name, stage), set()).add(group["lr"])
    table = rows(fused.summary(lr=0.01))
    for key, wanted in optimizer_rates.items():
        assert table[key].rate == pytest.approx((min(wanted), max(wanted))), key
    assert table["head", ""].rate == (0.01, 0.01)
    assert table["c", "one"].rate is None
    assert table["b", "two"].rate is None
    assert rows(fused.summary())["head", ""].rate == (1.0, 1.0)


def printed(summary, width):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(summary)
    return console.file.getvalue()


class Deep(OddNet):
    """Thirteen stages of long names, as a transformer's."""

    def __init__(self, in_channels=3):
        super().__init__(in_channels)
        self.encoder = nn.ModuleDict(
            {f"encoder_layer_of_the_trunk_{i}": nn.Linear(8, 8) for i in range(12)}
        )
        self.stages = (
            fk.Stage("stem", ("one", "two", "three")),
            *(fk.Stage(f"encoder.{name}") for name in self.encoder),
        )

    def forward(self, x, reads):
        vector = super().forward(x, fk.Reads(vector=True)).vector
        for layer in self.encoder.values():
            vector = layer(vector)
        return fk.Features(vector)


@pytest.mark.parametrize("width", [80, 100, 140])
def test_a_deep_model_of_long_names_fits_the_terminal(width):
    catalog = odd_catalog({"deep": lambda *, in_channels, weights, num_classes: Deep(in_channels)})
    name = "the_appearance_of_the_whole_scene_as_it_was_seen_by_the_camera"
    deep = fk.Branch("odd/deep", weights=None, freeze=fk.Freeze.gradual(every=2))
    fused = fk.compose({name: deep, "b": branch("odd")}, "odd/sum", 5, catalog=catalog)
    text = printed(fused.summary(lr=1e-3), width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert name in text
    assert sum("frozen until epoch" in line for line in lines) == 13
    for index in range(12):
        assert any(f"trunk_{index} " in line and "72" in line for line in lines), index
    if width == 140:
        assert "  encoder.encoder_layer_of_the_trunk_11 " in text
    assert len({line.index("frozen until") for line in lines if "frozen until" in line}) == 1


def test_what_print_shows_is_what_a_console_shows(monkeypatch):
    summary = model().summary()
    monkeypatch.setenv("COLUMNS", "80")
    assert str(summary).splitlines() == [
        line.rstrip() for line in printed(summary, 80).splitlines()
    ]
    monkeypatch.setenv("COLUMNS", "300")
    assert max(map(len, str(summary).splitlines())) <= 100


def test_the_table_as_it_is_printed(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    fused = build({"rgb": branch("odd", freeze=fk.Freeze.last(1), lr=fk.LR(0.1, layer_decay=0.9))})
    assert str(fused.summary(lr=0.01)).splitlines() == [
        "epoch 0  params  trainable  share     lr",
        "",
        "rgb",
        "  odd/odd (random weights), input 'image', 3 x 16 x 16",
        "  one       224          0     0%      -  frozen",
        "  two       584          0     0%      -  frozen",
        "  three     584        584   100%  0.001",
        "  all     1,392        584    42%      -",
        "",
        "head         45         45   100%   0.01  odd/sum, reads vectors",
        "",
        "total     1,437        629    44%      -",
    ]
