"""What importing fusionkit costs, and that it keeps what its names promise."""

from __future__ import annotations

import subprocess
import sys

import pytest

import fusionkit

HEAVY = ("timm", "torchvision", "lightning", "sklearn", "matplotlib", "transformers")


def run_python(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def loaded_after(code: str, names: tuple[str, ...]) -> set[str]:
    """Gives which of ``names`` a fresh interpreter has imported after ``code``."""
    return set(
        run_python(f"{code}\nimport sys\nprint(*(set({names!r}) & set(sys.modules)))").split()
    )


def test_import_fusionkit_imports_nothing_heavy():
    assert loaded_after("import fusionkit", (*HEAVY, "torch", "rich", "typer")) == set()


def test_no_public_name_imports_anything_heavy():
    code = "import fusionkit\nfor name in fusionkit.__all__: getattr(fusionkit, name)"
    assert loaded_after(code, HEAVY) == set()


def test_looking_plugins_up_imports_none_of_them():
    code = "import fusionkit; fusionkit.Catalog.installed()"
    assert loaded_after(code, (*HEAVY, "torch")) == set()


def test_importing_the_built_in_plugins_imports_nothing_heavy():
    code = (
        "import fusionkit.providers.timm.plugin, fusionkit.providers.torchvision.plugin\n"
        "import fusionkit.heads.plugin"
    )
    assert loaded_after(code, HEAVY) == set()


def test_all_public_names_resolve():
    for name in fusionkit.__all__:
        assert getattr(fusionkit, name) is not None
    assert set(dir(fusionkit)) == set(fusionkit.__all__)


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'fusionkit' has no attribute 'compse'"):
        _ = fusionkit.compse


def test_import_costs_little_beyond_torch():
    code = """
import torch, time
start = time.process_time()
import fusionkit
print(time.process_time() - start)
"""
    assert float(run_python(code)) < 0.2
