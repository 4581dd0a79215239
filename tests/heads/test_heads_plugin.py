"""The door through which the built-in heads come in."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

import fusionkit as fk
from fusionkit.heads import plugin

EXPECTED = {
    "concat": "Concat",
    "mean_log_probabilities": "MeanLogProbabilities",
    "mean_logits": "MeanLogits",
    "mean_probabilities": "MeanProbabilities",
    "two_stream": "TwoStream",
    "two_stream_maps": "TwoStreamMaps",
}


def test_the_entry_point_leads_to_the_heads():
    (entry,) = (e for e in entry_points(group="fusionkit") if e.name == "heads")
    heads = entry.load().fusionkit_heads()
    assert {name: factory.__name__ for name, factory in heads.items()} == EXPECTED
    assert all(issubclass(factory, fk.FusionHead) for factory in heads.values())
    assert list(heads) == sorted(heads)
    assert len(heads) == len(EXPECTED)


def test_a_name_that_is_not_there_is_a_key_error():
    with pytest.raises(KeyError):
        plugin.fusionkit_heads()["concatt"]


def test_listing_imports_no_head_and_no_other_library():
    code = (
        "import sys, fusionkit.heads.plugin as plugin\n"
        "assert len(list(plugin.fusionkit_heads())) == 6\n"
        "heavy = {'timm', 'torchvision', 'lightning', 'fusionkit.heads.concat'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_looking_heads_up_imports_no_providers_library():
    code = (
        "import sys, fusionkit.heads.plugin as plugin\n"
        "dict(plugin.fusionkit_heads())\n"
        "heavy = {'timm', 'torchvision', 'lightning'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
