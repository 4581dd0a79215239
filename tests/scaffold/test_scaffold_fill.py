"""What is written passes what it will be judged by, whatever the plugin is called."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fusionkit import __version__
from fusionkit.scaffold.author import Author
from fusionkit.scaffold.fill import FILES, fill_templates
from fusionkit.scaffold.names import LONGEST, PluginNames
from fusionkit.scaffold.write import write_folder

ROOT = Path(__file__).parents[2]
AUTHOR = Author("The fusionkit authors")
LONG = f"{'a' * 9}-{'b' * (LONGEST - 10)}"


def make(tmp_path: Path, name: str) -> Path:
    names = PluginNames.parse(name)
    folder = tmp_path / names.distribution
    write_folder(folder, fill_templates(names, AUTHOR))
    return folder


def run(folder: Path, *words: str, **environment: str) -> None:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        words,
        cwd=folder,
        env={**ours, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_template_is_used_and_no_blank_is_left() -> None:
    templates = {path.name for path in (ROOT / "fusionkit/scaffold/template").iterdir()}
    assert templates == {f"{name}.tmpl" for name in FILES.values() if name}
    for path, text in fill_templates(PluginNames.parse("spiral-net"), AUTHOR).items():
        assert not re.search(r"<<|>>|\bexample\b", path + text), path


def test_the_example_plugin_is_what_is_written() -> None:
    folder = ROOT / "plugins" / "fusionkit-example"
    written = fill_templates(PluginNames.parse("example"), AUTHOR)
    for path, text in written.items():
        assert (folder / path).read_text(encoding="utf-8") == text, path
    there = {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and not re.search(r"__pycache__|\.egg-info|_cache/", str(path))
    }
    assert there == written.keys()


def test_it_requires_what_fusionkit_itself_requires() -> None:
    ours = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    theirs = fill_templates(PluginNames.parse("spiral"), AUTHOR)["pyproject.toml"]
    for name in ("safetensors", "torch", "mypy", "pytest", "ruff"):
        requirement = re.search(rf'"({name}>=[^"]+)"', theirs)
        assert requirement, name
        assert requirement[1] in ours
    asked = re.search(r'"torch-fusionkit>=([\d.]+)"', theirs)
    assert asked
    assert __version__.startswith(asked[1])
    for line in ('requires-python = ">=3.10"',):
        assert line in ours
        assert line in theirs


@pytest.mark.parametrize("name", ["3d", LONG])
def test_it_is_formatted_and_clean_whatever_its_name(tmp_path: Path, name: str) -> None:
    folder = make(tmp_path, name)
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent)) or "ruff"
    run(folder, ruff, "check", "--no-cache", ".")
    run(folder, ruff, "format", "--no-cache", "--check", ".")


@pytest.mark.slow
def test_its_own_tests_pass_once_it_is_installed(tmp_path: Path) -> None:
    folder = make(tmp_path, "spiral-net")
    info = tmp_path / "site" / "fusionkit_spiral_net-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: fusionkit-spiral-net\nVersion: 0.1.0\n"
    )
    (info / "entry_points.txt").write_text(
        "[fusionkit]\nspiral-net = fusionkit_spiral_net.plugin\n"
    )
    paths = os.pathsep.join([str(info.parent), str(folder / "src")])
    # of the kit a part: all of it is asked of the same files in plugins/fusionkit-example
    some = ("-k", "not keeps_its_promises or builds or plugin")
    words = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *some)
    run(folder, *words, PYTHONPATH=paths)
