"""``fusionkit plugins``."""

from __future__ import annotations

import json
import warnings

import pytest

import fusionkit as fk
from fusionkit.plugins.discovery import Skipped
from fusionkit.plugins.plugin import Plugin
from fusionkit.plugins.question import Offer


@pytest.fixture
def troubled(monkeypatch) -> None:
    def fail() -> Offer:
        raise fk.PluginError("could not be imported: ImportError: no module named 'x'")

    good = Offer({"a": dict}, {"b": dict, "c": dict}, ("changed torch's random state",))
    plugins = (
        Plugin("good", lambda: good, distribution="toy-good", version="1.0"),
        Plugin("broken", fail, distribution="toy-broken", version="2.0"),
        Plugin("shut", fail, distribution="toy-shut", version="3.0", blocked="blocked by X=shut"),
    )
    catalog = fk.Catalog(plugins, (Skipped("toy-odd 1.0", "line 1 is odd"),))
    monkeypatch.setattr(fk.Catalog, "installed", classmethod(lambda cls: catalog))


@pytest.mark.usefixtures("troubled")
def test_at_a_terminal_everything_is_said_of_each_plugin(at_terminal):
    assert at_terminal("plugins") == (
        "plugin   distribution   version   offers\n"
        "good     toy-good       1.0       1 backbone, 2 heads\n"
        "broken   toy-broken     2.0       failed\n"
        "shut     toy-shut       3.0       blocked\n"
        "\n"
        "good: changed torch's random state while it was loaded; set back\n"
        "\n"
        "broken: plugin 'broken' (toy-broken 2.0) could not be imported: ImportError: no\n"
        "module named 'x'. Repair or uninstall it, or set\n"
        "FUSIONKIT_DISABLE_PLUGINS=broken to go on without it\n"
        "\n"
        "shut: blocked by X=shut\n"
        "\n"
        "skipped toy-odd 1.0: line 1 is odd\n"
    )


@pytest.mark.usefixtures("troubled")
def test_for_a_program(piped):
    code, out, _ = piped("plugins", "--json")
    told = json.loads(out)
    assert code == 0
    assert [(plugin["name"], plugin["state"]) for plugin in told["plugins"]] == [
        ("good", "loaded"),
        ("broken", "failed"),
        ("shut", "blocked"),
    ]
    assert told["plugins"][0]["notes"] == ["changed torch's random state"]
    assert told["skipped"] == [{"distribution": "toy-odd 1.0", "reason": "line 1 is odd"}]


def test_without_plugins_it_says_so(monkeypatch, piped):
    monkeypatch.setattr(fk.Catalog, "installed", classmethod(lambda cls: fk.Catalog()))
    assert piped("plugins") == (0, "no plugins\n", "")


def test_a_warning_is_one_line(monkeypatch, piped):
    monkeypatch.setenv("FUSIONKIT_LOAD_PLUGINS", "nobody")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        code, _, err = piped("plugins")
    assert (code, err) == (
        0,
        "warning: FUSIONKIT_LOAD_PLUGINS names 'nobody', but no such plugin is installed.\n",
    )
