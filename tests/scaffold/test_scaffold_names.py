"""Names are read as they are written, and told apart from those that are taken."""

from __future__ import annotations

import pytest

import fusionkit as fk
from fusionkit.plugins.discovery import Candidate
from fusionkit.scaffold import names as module
from fusionkit.scaffold.names import LONGEST, PluginNames, refuse_clash


@pytest.mark.parametrize(
    "written",
    [
        "spiral-net",
        "spiral_net",
        "Spiral.Net",
        " spiral--net ",
        "fusionkit-spiral-net",
        "fusionkit_spiral_net",
        "FusionKit-Spiral_Net",
        "torch-fusionkit-spiral-net",
    ],
)
def test_every_way_to_write_a_name_is_one_plugin(written: str) -> None:
    expected = PluginNames("spiral-net", "fusionkit-spiral-net", "fusionkit_spiral_net")
    assert PluginNames.parse(written) == expected


@pytest.mark.parametrize("written", ["3d", "class", "a", "x" * LONGEST, "torch-net"])
def test_the_package_can_always_be_imported(written: str) -> None:
    names = PluginNames.parse(written)
    assert names.plugin == written
    assert names.package.isidentifier()


@pytest.mark.parametrize(
    "written",
    ["", "-", "-net", "net-", "a b", "a/b", "../a", "nét", "\u0131", "fusionkit-", "a" * 31],
)
def test_what_cannot_be_a_name_is_refused(written: str) -> None:
    with pytest.raises(fk.ConfigError, match=r"cannot be a plugin's name: write .*'spiral-net'"):
        PluginNames.parse(written)


@pytest.mark.parametrize("written", ["timm", "Heads", "fusionkit-torchvision", "hf", "fusionkit"])
def test_names_of_fusionkits_own_are_refused(written: str) -> None:
    with pytest.raises(fk.ConfigError, match="is a name of fusionkit's own"):
        PluginNames.parse(written)


@pytest.mark.parametrize(
    ("installed", "distribution"),
    [("spiral", "another-home"), ("Spi.ral", "x"), ("other", "fusionkit_spi_ral")],
)
def test_the_name_of_an_installed_plugin_is_refused(
    monkeypatch: pytest.MonkeyPatch, installed: str, distribution: str
) -> None:
    taken = Candidate(installed, "module", distribution, "2.0")
    monkeypatch.setattr(module, "discover", lambda: ((taken,), ()))
    name = "spiral" if installed == "spiral" else "spi-ral"
    with pytest.raises(fk.PluginError, match=rf"already, .*{distribution} 2.0: give the new one"):
        refuse_clash(PluginNames.parse(name))


def test_a_free_name_is_not_refused() -> None:
    refuse_clash(PluginNames.parse("no-such-plugin"))
