"""Which names there are, and what plugin users see of them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from fusionkit_transformers.names import WELL_KNOWN
from fusionkit_transformers.plugin import HuggingFaceModels

import fusionkit as fk


def test_the_plugin_is_found_and_lists_well_known_repositories() -> None:
    listed = fk.Catalog.installed().backbones("hf")
    assert "hf/facebook/dinov2-small" in listed
    assert len(listed) == len(WELL_KNOWN) == len(set(WELL_KNOWN))


@pytest.mark.parametrize(
    "name",
    ["facebook/dinov2-small", "owner/any", "owner/any@v1.0", "owner/any@refs/pr/1",
     "local-dir:/tmp/x", "local-dir:relative", "vit", "xlm-roberta"],
)  # fmt: skip
def test_known_names(name: str) -> None:
    assert name in HuggingFaceModels()
    assert callable(HuggingFaceModels()[name])


@pytest.mark.parametrize("name", ["dinov2-smal", "local-dir:", "a/b/c", "owner/", "", "../x/y"])
def test_unknown_names(name: str) -> None:
    assert name not in HuggingFaceModels()
    with pytest.raises(KeyError):
        HuggingFaceModels()[name]


def test_a_near_name_is_told() -> None:
    with pytest.raises(fk.ConfigError, match="hf/facebook/dinov2-small"):
        fk.compose({"a": fk.Branch("hf/dinov2-small")}, head="concat", num_classes=2)


def test_importing_the_plugin_imports_nothing_heavy() -> None:
    code = (
        "import sys, fusionkit_transformers.plugin as p; list(p.HuggingFaceModels());"
        "heavy = ('torch', 'transformers', 'timm', 'huggingface_hub');"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
