"""One plugin: asked once, and blamed for its own failures only."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from types import SimpleNamespace

import pytest

import fusionkit as fk
from fusionkit import Catalog, ConfigError, PluginError


class Lazy(Mapping[str, object]):
    """Lists one name, finds more, and fails at some."""

    def __init__(self, listed=("listed",)) -> None:
        self.listed = listed

    def __iter__(self) -> Iterator[str]:
        if self.listed is None:
            raise OSError("the index is gone")
        return iter(self.listed)

    def __len__(self) -> int:
        return len(self.listed)

    def __getitem__(self, name: str) -> object:
        if name.startswith("hub:"):
            return dict
        if name == "down":
            raise ConnectionError("the hub is down")
        if name == "exit":
            raise SystemExit(1)
        if name == "refused":
            raise ConfigError("a hub name is 'hub:owner/name'")
        if name == "number":
            return 3
        raise KeyError(name)


def toy(mapping: Mapping[str, object]) -> Catalog:
    plugin = SimpleNamespace(fusionkit_backbones=fk.hookimpl(lambda: mapping))
    return Catalog().with_plugin("toy", plugin)


def test_a_name_that_is_not_listed_may_still_be_found():
    catalog = toy(Lazy())
    assert catalog.backbones() == ["toy/listed"]
    assert catalog.backbone("toy/hub:someone/net").factory is dict
    assert catalog.backbone("toy/hub:someone/net").name == "toy/hub:someone/net"


def test_what_goes_wrong_at_a_name_is_the_plugins_fault():
    catalog = toy(Lazy())
    with pytest.raises(
        PluginError, match=r"'toy' .* failed to give the backbone 'down': Connection"
    ):
        catalog.backbone("toy/down")
    with pytest.raises(PluginError, match="failed to give the backbone 'exit': SystemExit: 1"):
        catalog.backbone("toy/exit")
    with pytest.raises(PluginError, match="gives 3 as the factory of 'number'"):
        catalog.backbone("toy/number")
    with pytest.raises(PluginError, match="failed to give the backbone 'listed': KeyError"):
        catalog.backbone("toy/listed")


def test_a_plugins_own_refusal_is_passed_on():
    with pytest.raises(ConfigError, match="a hub name is 'hub:owner/name'"):
        toy(Lazy()).backbone("toy/refused")


def test_a_plugin_that_cannot_list_its_names_is_told_and_left_out():
    catalog = toy(Lazy(None))
    assert catalog.backbones() == []
    assert catalog.backbone("toy/hub:x").factory is dict
    with pytest.raises(
        PluginError, match="failed to list its backbones: OSError: the index is gone"
    ):
        catalog.backbones("toy")
    assert catalog.plugins()[0].state == "failed"


def test_a_lazy_mapping_that_lists_no_strings_is_told():
    with pytest.raises(PluginError, match="gives the name 3; names are strings"):
        toy(Lazy((3,))).backbones("toy")


def test_a_plugin_without_backbones_says_so():
    catalog = Catalog().with_plugin(
        "toy", SimpleNamespace(fusionkit_heads=fk.hookimpl(lambda: {"x": dict}))
    )
    with pytest.raises(ConfigError, match=r"plugin 'toy' \(given in Python\) offers no backbones"):
        catalog.backbone("toy/x")


def test_a_plugin_is_imported_only_when_it_is_asked_for_and_only_once(install):
    source = """
        import fusionkit
        loads = []
        @fusionkit.hookimpl
        def fusionkit_backbones():
            loads.append(1)
            return {"x": dict}
    """
    install("toy-a", source)
    install("toy-b", source)
    catalog = Catalog.installed()
    catalog.backbone("toy_a/x")
    catalog.backbones("toy_a")
    assert sys.modules["toy_a"].loads == [1]
    assert "toy_b" not in sys.modules


def test_a_plugin_that_asks_for_itself_is_stopped(install):
    source = """
        import fusionkit
        fusionkit.Catalog.installed().backbone("self/x")
    """
    install("toy-self", source, name="self")
    with pytest.raises(PluginError, match="asks for its own name while it is being loaded"):
        Catalog.installed().backbone("self/x")
