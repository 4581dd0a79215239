"""The room's public names, and what reaching them costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import fusionkit.data


def test_all_public_names_resolve():
    for name in fusionkit.data.__all__:
        assert getattr(fusionkit.data, name) is not None
    assert set(dir(fusionkit.data)) == set(fusionkit.data.__all__)
    with pytest.raises(AttributeError, match=r"module 'fusionkit.data' has no attribute 'x'"):
        _ = fusionkit.data.x


def test_no_public_name_imports_what_decodes_or_reads():
    code = (
        "import sys, fusionkit.data\n"
        "for name in fusionkit.data.__all__: getattr(fusionkit.data, name)\n"
        "heavy = {'PIL', 'torchvision', 'pyarrow', 'datasets', 'webdataset', 'pandas'}\n"
        "print(*(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout.strip() == ""
