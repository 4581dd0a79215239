"""From what was found to plugins by name."""

from __future__ import annotations

import sys

import pytest

from fusionkit import PluginError
from fusionkit.plugins.installed import installed_plugins


def test_every_plugin_says_where_it_came_from_and_none_is_imported(install):
    install("toy-a", name="a", version="4.2")
    plugins, skipped = installed_plugins({})
    found = {plugin.name: plugin.origin for plugin in plugins}
    assert found["a"] == "toy-a 4.2"
    assert list(found) == sorted(found)
    assert skipped == ()
    assert "toy_a" not in sys.modules


def test_a_clash_between_blocked_plugins_is_no_clash(install):
    install("toy-a", name="same")
    install("toy-b", name="same")
    plugins, _ = installed_plugins({"FUSIONKIT_DISABLE_PLUGINS": "same"})
    same = next(plugin for plugin in plugins if plugin.name == "same")
    with pytest.raises(PluginError, match="plugin 'same' is blocked by"):
        same.offer()


def test_strict_mode_refuses_skipped_distributions(install):
    install("toy-odd", entry_points="garbage\n")
    environment = {"FUSIONKIT_STRICT_PLUGINS": "1", "FUSIONKIT_LOAD_PLUGINS": ""}
    with pytest.raises(PluginError, match=r"distribution toy-odd 1.0 was skipped: .*line 1"):
        installed_plugins(environment)


def test_strict_mode_refuses_a_clash(install):
    install("toy-a", name="same")
    install("toy-b", name="same")
    environment = {"FUSIONKIT_STRICT_PLUGINS": "1", "FUSIONKIT_LOAD_PLUGINS": "same"}
    with pytest.raises(PluginError, match=r"'same' .*is offered twice"):
        installed_plugins(environment)
