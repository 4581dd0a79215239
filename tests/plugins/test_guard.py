"""What a plugin changes for everybody while it is loaded is undone and told."""

from __future__ import annotations

import os
import random
import warnings

import numpy as np
import pytest
import torch
from PIL import ImageFile

from fusionkit import Catalog
from fusionkit.plugins.guard import undo_side_effects

CHANGES = {
    "torch's default dtype, from torch.float32 to torch.float64": (
        "torch.set_default_dtype(torch.float64)",
        torch.get_default_dtype,
    ),
    "torch's default device": (
        "torch.set_default_device('meta')",
        torch.get_default_device,
    ),
    "the number of torch's threads": (
        "torch.set_num_threads(torch.get_num_threads() + 1)",
        torch.get_num_threads,
    ),
    "torch's gradient mode, from True to False": (
        "torch.set_grad_enabled(False)",
        torch.is_grad_enabled,
    ),
    "torch's float32 matmul precision, from highest to medium": (
        "torch.set_float32_matmul_precision('medium')",
        torch.get_float32_matmul_precision,
    ),
    "torch's deterministic mode, from off to on": (
        "torch.use_deterministic_algorithms(True)",
        torch.are_deterministic_algorithms_enabled,
    ),
    "cudnn.benchmark, from False to True": (
        "torch.backends.cudnn.benchmark = True",
        lambda: torch.backends.cudnn.benchmark,
    ),
    "torch's random state": (
        "torch.manual_seed(1234)",
        lambda: torch.get_rng_state().tolist(),
    ),
    "Python's random state": ("random.seed(1234)", random.getstate),
    "numpy's random state": (
        "np.random.seed(1234)",
        lambda: [*np.random.get_state()[1]],
    ),
    "PIL's LOAD_TRUNCATED_IMAGES, from False to True": (
        "ImageFile.LOAD_TRUNCATED_IMAGES = True",
        lambda: ImageFile.LOAD_TRUNCATED_IMAGES,
    ),
    "the filters of warnings": (
        "warnings.simplefilter('ignore')",
        lambda: list(warnings.filters),
    ),
    "the environment variable TOY_ADDED": (
        "os.environ['TOY_ADDED'] = '1'",
        lambda: dict(os.environ),
    ),
    "the environment variable TOY_THERE": (
        "del os.environ['TOY_THERE']",
        lambda: dict(os.environ),
    ),
}

IMPORTS = (
    "import os, random, warnings\nimport numpy as np\nimport torch\nfrom PIL import ImageFile\n"
)
HOOK = "import fusionkit\n@fusionkit.hookimpl\ndef fusionkit_heads(): return {'x': dict}\n"


@pytest.mark.parametrize("change", CHANGES)
def test_f014_a_change_at_import_is_undone_and_told(install, monkeypatch, change):
    code, read = CHANGES[change]
    monkeypatch.setenv("TOY_THERE", "yes")
    install("toy-rude", IMPORTS + code + "\n" + HOOK, name="rude")
    catalog = Catalog.installed()
    before = read()
    assert catalog.head("rude/x").factory is dict
    assert read() == before
    record = next(record for record in catalog.plugins() if record.name == "rude")
    assert len(record.notes) == 1
    assert record.notes[0].startswith(f"changed {change}")


def test_f014_a_change_is_undone_when_the_plugin_fails_too(install):
    install("toy-rude", IMPORTS + "torch.set_default_dtype(torch.float64)\n1 / 0", name="rude")
    catalog = Catalog.installed()
    assert {record.state for record in catalog.plugins() if record.name == "rude"} == {"failed"}
    assert torch.get_default_dtype() is torch.float32


def test_a_block_that_changes_nothing_gets_no_note():
    with undo_side_effects() as notes:
        torch.randn(0)
        import fusionkit.errors  # noqa: F401
    assert notes == []
