"""Which modules a plugin must not import before they are needed."""

from __future__ import annotations

from evil_plugins import put_distribution

from fusionkit.testing.plugins.heavy import HEAVY, heavy_modules


def test_known_heavy_libraries_and_what_the_distribution_declares(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(put_distribution(tmp_path, "Toy_Engine", "", entry=None))
    needs = ("toy-engine>=1", "absent.one ; extra == 'more'", "torch>=2", "torch-fusionkit", "timm")
    put_distribution(tmp_path, "toy-plugin", "", requires=needs)
    heavy = heavy_modules("toy-plugin")
    assert heavy == {*HEAVY, "Toy_Engine", "absent_one"}
    assert not heavy & {"torch", "fusionkit", "numpy"}


def test_fusionkits_own_plugins_may_import_what_fusionkit_needs_but_no_providers_library():
    heavy = heavy_modules("torch-fusionkit")
    assert {"timm", "torchvision"} <= heavy
    assert not heavy & {"pluggy", "einops", "safetensors", "yaml", "typer", "pydantic"}


def test_a_distribution_that_is_not_installed_declares_nothing():
    assert heavy_modules("no-such-distribution") == {*HEAVY}
