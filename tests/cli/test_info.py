"""``fusionkit info``."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

import fusionkit as fk
from fusionkit.cli import facts


def test_a_backbone_at_a_terminal(catalog, at_terminal):
    assert at_terminal("info", "toys/net") == (
        "toys/net\n"
        "from          a plugin given in Python 1.5\n"
        "parameters    480\n"
        "vector        8 wide\n"
        "maps          4 at 1/2, 8 at 1/4\n"
        "input         3 x 32 x 32, or other sizes\n"
        "prepared by   resize to 36 (bicubic), crop 32 x 32, mean 0.485 0.456 0.406, std\n"
        "              0.229 0.224 0.225\n"
        "weights       tag_a, tag_b\n"
        "\n"
        "stage   blocks   parameters\n"
        "stem         1          112\n"
        "body         2          368\n"
    )


def test_a_backbone_for_a_program(catalog, piped):
    code, out, _ = piped("info", "toys/net", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["kind"] == "backbone"
    assert (told["name"], told["version"], told["parameters"]) == ("toys/net", "1.5", 480)
    assert told["stages"][1] == {"name": "body", "blocks": 2, "parameters": 368}
    assert told["levels"] == [{"channels": 4, "stride": 2}, {"channels": 8, "stride": 4}]
    assert told["preprocessing"]["interpolation"] == "bicubic"
    assert told["weights"] == ["tag_a", "tag_b"]


def test_the_options_of_a_backbone_are_told_and_what_its_factory_says_of_them():
    from functools import partial

    def build(name, *, in_channels, weights, num_classes, depth: int = 3, wide):
        """Builds it.

        Args:
            name: which.
            in_channels: of the input.
            depth: how many
                layers.
            wide: or narrow.
        """

    options = facts._options(partial(build, "a"), {"in_channels", "weights", "num_classes"})
    assert [(each.name, each.type, each.default, each.description) for each in options] == [
        ("depth", "int", "3", "how many layers."),
        ("wide", "", None, "or narrow."),
    ]


def test_a_backbone_takes_no_memory_where_that_works(catalog, monkeypatch):
    devices = []
    build = facts._build

    def spy(entry):
        backbone = build(entry)
        devices.append(next(backbone.parameters()).device.type)
        return backbone

    monkeypatch.setattr(facts, "_build", spy)
    facts.study_backbone(catalog.backbone("toys/net"))
    picky = facts.study_backbone(catalog.backbone("toys/picky"))
    assert devices == ["meta", "cpu"]
    assert [stage.name for stage in picky.stages] == ["stem", "body"]
    assert picky.weights is None
    assert torch.get_default_device().type == "cpu"


def test_a_backbone_that_cannot_be_built_says_so(catalog, piped):
    code, out, err = piped("info", "toys/broken")
    assert (code, out) == (2, "")
    assert err == (
        "error: toys/broken cannot be built without weights: ValueError: no such layer\n"
    )


def test_a_head_at_a_terminal(catalog, at_terminal):
    assert at_terminal("info", "join") == (
        "join\n"
        "Joins the vectors in a toy way.\n"
        "\n"
        "It has two paragraphs that are broken over lines.\n"
        "\n"
        "from   a plugin given in Python\n"
        "\n"
        "options\n"
        "hidden: int | None = None\n"
        "    the width of one layer, in numbers.\n"
        "must: str (must be given)\n"
    )


def test_a_heads_card_is_shown(catalog, at_terminal, piped, monkeypatch):
    class Told(catalog.head("join").factory):
        """Joins what is told."""

        card = fk.Card("[x_1; x_2]", ("A, arXiv:1", "B"), "maps", "Often.", (), "+", branches="two")

    own = SimpleNamespace(fusionkit_heads=fk.hookimpl(lambda: {"told": Told}))
    more = fk.Catalog().with_plugin("heads", own)
    monkeypatch.setattr(fk.Catalog, "installed", classmethod(lambda cls: more))
    assert (
        "from      a plugin given in Python\n"
        "joins     maps, two\n"
        "formula   [x_1; x_2]\n"
        "papers    A, arXiv:1\n"
        "          B\n"
        "when      Often.\n"
    ) in at_terminal("info", "told")
    assert json.loads(piped("info", "told", "--json")[1])["card"]["when"] == "Often."


def test_what_compose_fills_in_is_no_option(catalog):
    class Wrapping(fk.FusionHead):
        """Joins by another head."""

        takes_catalog = True

        def __init__(self, inputs, *, num_classes, head="concat", catalog=None): ...

        def forward(self, features): ...

    class Printed(Wrapping):
        """Prints in a catalog."""

        takes_catalog = False

    own = SimpleNamespace(fusionkit_heads=fk.hookimpl(lambda: {"one": Wrapping, "two": Printed}))
    catalog = fk.Catalog().with_plugin("heads", own)
    options = [
        [option.name for option in facts.study_head(catalog.head(name)).options]
        for name in ("one", "two")
    ]
    assert options == [["head"], ["head", "catalog"]]


def test_options_that_a_base_class_explains_are_explained(catalog):
    class Child(catalog.head("join").factory):
        """Says nothing of ``hidden``.

        Args:
            must: a word of its own.
        """

    own = SimpleNamespace(fusionkit_heads=fk.hookimpl(lambda: {"child": Child}))
    facts_of = facts.study_head(fk.Catalog().with_plugin("own", own).head("own/child"))
    assert facts_of.description == ("Says nothing of hidden.",)
    assert {option.name: option.description for option in facts_of.options} == {
        "hidden": "the width of one layer, in numbers.",
        "must": "a word of its own.",
    }


@pytest.mark.parametrize(
    "name", ["concat", "mean_probabilities", "mean_logits", "two_stream", "two_stream_maps"]
)
def test_every_option_of_the_built_in_heads_is_explained(piped, name):
    told = json.loads(piped("info", name, "--json")[1])
    assert told["options"]
    assert all(option["description"] for option in told["options"])
    assert not any("Averaging" in paragraph for paragraph in told["description"])


def test_a_head_for_a_program(catalog, piped):
    told = json.loads(piped("info", "toys/tower", "--json")[1])
    assert (told["kind"], told["name"]) == ("head", "toys/tower")
    assert told["options"][0] == {
        "name": "hidden",
        "type": "int | None",
        "default": "None",
        "description": "the width of one layer, in numbers.",
    }
    assert told["options"][1]["default"] is None


def test_kind_settles_a_name_that_is_both(catalog, piped):
    assert json.loads(piped("info", "toys/both", "--json")[1])["kind"] == "backbone"
    both = piped("info", "toys/both", "--json", "--kind", "head")
    assert json.loads(both[1])["kind"] == "head"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("toys/nett", "plugin 'toys' has no backbone 'nett'. Did you mean 'toys/net'?"),
        ("jion", "there is no head 'jion'. Did you mean 'join'?"),
        ("toyz/net", "no plugin 'toyz' is installed"),
    ],
)
def test_a_typo_is_answered_with_near_names(catalog, piped, name, said):
    code, out, err = piped("info", name)
    assert (code, out) == (2, "")
    assert said in err


def test_equal_maps_in_a_row_are_counted(catalog, piped, monkeypatch):
    build = facts._build

    def with_equal_maps(entry):
        backbone = build(entry)
        backbone.levels = (*backbone.levels, backbone.levels[-1])
        return backbone

    monkeypatch.setattr(facts, "_build", with_equal_maps)
    assert "maps          4 at 1/2, 2 x 8 at 1/4" in piped("info", "toys/net")[1]


@pytest.mark.parametrize("name", ["timm/resnet18", "torchvision/resnet18"])
def test_the_built_in_providers_are_described(piped, name):
    told = json.loads(piped("info", name, "--json")[1])
    assert told["distribution"] == "torch-fusionkit"
    assert told["parameters"] == sum(stage["parameters"] for stage in told["stages"]) == 11_176_512
    assert [stage["name"] for stage in told["stages"]][1:] == [f"layer{i}" for i in range(1, 5)]
    assert (told["embed_dim"], told["preprocessing"]["size"]) == (512, [224, 224])
