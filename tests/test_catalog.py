"""Names to factories, with the distribution and version each came from."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import SimpleNamespace

import pytest

import fusionkit as fk
from fusionkit import Catalog, ConfigError, PluginError


def offering(backbones=None, heads=None, **more):
    hooks = {}
    if backbones is not None:
        hooks["fusionkit_backbones"] = fk.hookimpl(lambda: backbones)
    if heads is not None:
        hooks["fusionkit_heads"] = fk.hookimpl(lambda: heads)
    return SimpleNamespace(**hooks, **more)


@pytest.fixture
def catalog() -> Catalog:
    toys = dict.fromkeys(["resnet18", "resnet34", "vit_tiny", "owner/name"], dict)
    return (
        Catalog()
        .with_plugin("toys", offering(toys, {"tower": list}, __version__="1.2"))
        .with_plugin("more", offering({"resnet18": set}))
        .with_plugin("heads", offering(heads={"concat": tuple, "mean": tuple}))
    )


def test_an_entry_says_what_it_is_and_where_it_came_from(catalog):
    entry = catalog.backbone("toys/owner/name")
    assert (entry.name, entry.factory) == ("toys/owner/name", dict)
    assert (entry.distribution, entry.version) == (None, "1.2")
    installed = Catalog.installed().head("concat")
    assert (installed.distribution, installed.version) == ("torch-fusionkit", fk.__version__)


def test_a_bare_head_is_fusionkits_own_and_a_plugins_carries_its_name(catalog):
    assert catalog.head("concat").factory is tuple
    assert catalog.head("toys/tower").factory is list
    assert catalog.head("heads/concat").name == "concat"
    assert catalog.heads() == ["concat", "mean", "toys/tower"]
    assert catalog.heads("toys") == ["toys/tower"]


def test_names_are_sorted_and_filtered(catalog):
    assert catalog.backbones() == [
        "more/resnet18",
        "toys/owner/name",
        "toys/resnet18",
        "toys/resnet34",
        "toys/vit_tiny",
    ]
    assert catalog.backbones("more") == ["more/resnet18"]
    assert catalog.backbones(filter="resnet*") == [
        "more/resnet18",
        "toys/resnet18",
        "toys/resnet34",
    ]
    assert catalog.backbones(filter="toys/res*4") == ["toys/resnet34"]
    assert catalog.backbones(filter="tiny") == ["toys/vit_tiny"]
    assert catalog.backbones(filter="nothing*") == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("toys/resnt18", "plugin 'toys' has no backbone 'resnt18'. Did you mean 'toys/resnet18'"),
        ("toys/zzz", "plugin 'toys' has no backbone 'zzz'."),
        (
            "toyz/resnet18",
            "no plugin 'toyz' is installed (for 'toyz/resnet18'). Did you mean 'toys'? "
            "Installed: toys, more, heads. "
            "If 'toyz' comes with a distribution of its own, pip install that.",
        ),
        ("resnet18", "'provider/model', for example 'timm/resnet18'; got 'resnet18'. Did you mean"),
        ("toys/", "a backbone's name is 'provider/model'"),
        ("/resnet18", "a backbone's name is 'provider/model'"),
        ("", "a backbone's name is 'provider/model'"),
    ],
)
def test_an_unknown_backbone_is_answered_with_near_names(catalog, name, said):
    with pytest.raises(ConfigError) as caught:
        catalog.backbone(name)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("word", "head"),
    [("gmu", "gated_multimodal"), ("TFN", "tensor_fusion"), ("lmf", "low_rank_fusion")],
)
def test_a_head_is_found_by_what_its_field_calls_it(word, head):
    with pytest.raises(ConfigError, match=f"there is no head '{word}'. Did you mean '{head}'"):
        Catalog.installed().head(word)


def test_a_head_that_fails_keeps_no_hint_back():
    class Lazy(Mapping):
        def __getitem__(self, name):
            raise ImportError("not there")

        def __iter__(self):
            return iter(("broken",))

        def __len__(self):
            return 1

    class Plugin:
        @fk.hookimpl
        def fusionkit_heads(self):
            return Lazy()

    catalog = Catalog.installed().with_plugin("stranger", Plugin())
    with pytest.raises(ConfigError, match=r"no head 'conct'\. Did you mean 'concat'"):
        catalog.head("conct")


@pytest.mark.parametrize("word", ["the", "projected", "function", "fim", "a"])
def test_common_words_are_no_abbreviations(word):
    from fusionkit.card import is_called

    catalog = Catalog.installed()
    assert not [name for name in catalog.heads() if is_called(catalog.head(name).factory, word)]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "conct",
            "there is no head 'conct'. Did you mean 'concat'? `fusionkit list --kind head` shows "
            "all; a plugin's head is written 'plugin/name'",
        ),
        ("toys/towr", "plugin 'toys' has no head 'towr'. Did you mean 'toys/tower'?"),
        ("heads/conct", "Did you mean 'concat'?"),
        ("tower", "Did you mean 'toys/tower'?"),
        ("toyz/tower", "no plugin 'toyz' is installed (for 'toyz/tower'). Did you mean 'toys'?"),
        ("toys/", "there is no head 'toys/'"),
        ("", "there is no head ''"),
    ],
)
def test_an_unknown_head_is_answered_with_near_names(catalog, name, said):
    with pytest.raises(ConfigError) as caught:
        catalog.head(name)
    assert said in str(caught.value)


def test_at_most_three_near_names_are_given():
    many = Catalog().with_plugin(
        "toys", offering(dict.fromkeys(map("net{}".format, range(50)), dict))
    )
    with pytest.raises(ConfigError) as caught:
        many.backbone("toys/nett")
    assert str(caught.value).count("'toys/net") == 3


def test_one_more_plugin_leaves_the_catalog_as_it_was(catalog):
    before = catalog.backbones()
    more = catalog.with_plugin("extra", offering({"x": dict}))
    assert "extra/x" in more.backbones()
    assert catalog.backbones() == before
    installed = Catalog.installed()
    installed.with_plugin("extra", offering({"x": dict}))
    with pytest.raises(ConfigError, match="no plugin 'extra' is installed"):
        Catalog.installed().backbone("extra/x")


def test_a_name_is_never_taken_twice(catalog):
    with pytest.raises(PluginError, match=r"there is a plugin 'toys' already \(given in Python\)"):
        catalog.with_plugin("toys", offering({"x": dict}))
    with pytest.raises(PluginError, match=r"'timm' already \(torch-fusionkit"):
        Catalog.installed().with_plugin("timm", offering({"x": dict}))


@pytest.mark.parametrize("name", ["a/b", "", " a", "a,b", "-a"])
def test_a_plugins_name_must_be_a_namespace(name):
    with pytest.raises(PluginError, match="cannot be a plugin's name: it is a letter or digit"):
        Catalog().with_plugin(name, offering({"x": dict}))


def test_records_tell_what_there_is_to_say(catalog):
    toys, more, heads = catalog.plugins()
    assert (toys.name, toys.state, toys.backbones, toys.heads, toys.version) == (
        "toys",
        "loaded",
        4,
        1,
        "1.2",
    )
    assert (more.backbones, heads.heads, toys.reason, toys.notes) == (1, 2, None, ())


def test_the_installed_catalog_is_remembered_and_never_stale(tmp_path, monkeypatch):
    first = Catalog.installed()
    assert Catalog.installed() is first
    monkeypatch.setenv("FUSIONKIT_DISABLE_PLUGINS", "timm")
    with pytest.raises(PluginError, match="'timm' is blocked"):
        Catalog.installed().backbones("timm")
    monkeypatch.delenv("FUSIONKIT_DISABLE_PLUGINS")
    assert Catalog.installed() is first
    monkeypatch.syspath_prepend(tmp_path)
    assert "late" not in repr(Catalog.installed())
    info = tmp_path / "late-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: late\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fusionkit]\nlate = late_module\n")
    assert "late" in repr(Catalog.installed())


def test_listing_all_names_of_all_providers_is_quick():
    catalog = Catalog.installed()
    catalog.backbones()  # imports the providers
    start = time.process_time()
    names = catalog.backbones() + catalog.heads()
    assert time.process_time() - start < 1
    assert {name.partition("/")[0] for name in catalog.backbones()} >= {"timm", "torchvision"}
    assert len(names) == len(set(names)) > 1300
