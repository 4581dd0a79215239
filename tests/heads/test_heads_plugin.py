"""The door through which the built-in heads come in."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

import fusionkit as fk
from fusionkit.heads import plugin


def test_the_entry_point_leads_to_the_heads():
    (entry,) = (e for e in entry_points(group="fusionkit") if e.name == "heads")
    heads = entry.load().fusionkit_heads()
    assert all(issubclass(factory, fk.FusionHead) for factory in heads.values())
    assert list(heads) == sorted(heads)
    assert len(heads) == len(list(heads)) == sum(len(room.HEADS) for room in plugin.ROOMS)


def test_each_head_has_one_name_and_the_name_says_its_class():
    heads = dict(plugin.fusionkit_heads())
    assert len({factory.__qualname__ for factory in heads.values()}) == len(heads)
    for name, factory in heads.items():
        assert factory.__name__.lower() == name.replace("_", ""), name


def test_a_name_that_is_not_there_is_a_key_error():
    with pytest.raises(KeyError):
        plugin.fusionkit_heads()["concatt"]


def test_listing_imports_no_head_and_no_other_library():
    code = (
        "import sys, fusionkit.heads.plugin as plugin\n"
        "assert 'concat' in list(plugin.fusionkit_heads())\n"
        "heavy = {'timm', 'torchvision', 'lightning', 'fusionkit.heads.vectors.concat'}\n"
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
