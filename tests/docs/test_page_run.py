"""A page that lies is caught, whatever its block's kind; a tutorial's files make a plugin."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fenced import read_blocks
from page_run import PageRun, Surroundings

import fusionkit as fk

RunPage = Callable[..., PageRun]


@pytest.fixture
def run_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPage:
    def run(text: str, **surroundings: dict[str, str]) -> PageRun:
        path = tmp_path / "page.md"
        path.write_text(text, encoding="utf-8")
        page = PageRun(path, Surroundings(**surroundings), tmp_path, monkeypatch)
        for block in read_blocks(text):
            page.run(block)
        return page

    return run


def fenced(kind: str, text: str, *marks: str) -> str:
    comments = "".join(f"<!-- {mark} -->\n" for mark in marks)
    return f"{comments}```{kind}\n{text}\n```\n\n"


@pytest.mark.parametrize(
    ("page", "error", "message"),
    [
        (fenced("julia", "1"), AssertionError, "a block of the kind 'julia'"),
        (fenced("", "1"), AssertionError, "a block of the kind ''"),
        (fenced("julia", "1", "not run: yes"), AssertionError, "'yes' is no cause"),
        (fenced("sh", "ls", "ci: everything"), AssertionError, "no command of the name"),
        (fenced("python", "1 / 0"), ZeroDivisionError, "division"),
        (fenced("python", "1 / 0", "raises: TypeError"), ZeroDivisionError, "division"),
        (fenced("python", "x = 1", "raises: TypeError"), AssertionError, "raises no TypeError"),
        (fenced("python", "import warnings\nwarnings.warn('w')"), UserWarning, "w"),
        (fenced("yaml", "branches: 1"), fk.ConfigError, "recipe.yaml"),
        (fenced("toml", "a = "), ValueError, "value"),
        (fenced("text", "1"), AssertionError, "no block before it"),
        (fenced("python", "print(12)") + fenced("text", "13"), AssertionError, "quotes\n13\n"),
        (fenced("python", "print(12)") + fenced("text", "1"), AssertionError, "quotes"),
        (fenced("sh", "rm -r x"), AssertionError, "no way is known to run 'rm'"),
        (fenced("sh", "fusionkit list | head"), ValueError, "only commands and &&"),
        (fenced("sh", "fusionkit info timm/x"), AssertionError, "ended with 2, not 0"),
        (fenced("sh", "fusionkit list", "raises: exit 2"), AssertionError, "ended with 0, not 2"),
        (fenced("sh", "fusionkit demo"), AssertionError, "takes minutes"),
        (fenced("sh", "pip install fusionkit"), AssertionError, "no distribution that this"),
        (fenced("sh", "pip install -e plugins/none"), AssertionError, "no pyproject.toml"),
        (fenced("sh", "cd .."), AssertionError, "not inside of the page's folder"),
        (fenced("sh", "python -c 'raise SystemExit(3)'"), AssertionError, "ended with 3, not 0"),
        (fenced("python", "x", "file: ../x.py"), AssertionError, "not inside of the page's folder"),
        (fenced("python", "x = = 1", "file: x.py"), SyntaxError, "invalid syntax"),
        (fenced("toml", "a = ", "file: x.toml"), ValueError, "value"),
        (fenced("python", "x = 1", "append: x.py"), FileNotFoundError, "x.py"),
    ],
    ids=[f"lie {number}" for number in range(26)],
)
def test_a_lie_is_caught(
    run_page: RunPage, page: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run_page(page)


def test_what_is_true_passes(run_page: RunPage) -> None:
    run_page(
        fenced("python", "x = 1\nfrom pathlib import Path")
        + fenced("python", "print('a  \\nb', x, 0.123)")
        + fenced("text", "a\nb 1 0...")
        + fenced("python", "import fusionkit as fk\nfk.Freeze.last('x')", "raises: ValueError")
        + fenced("text", "...'x'...")
        + fenced("yaml", "branches: {a: timm/resnet18}\nhead: concat")
        + fenced("sh", "# a comment\nmkdir -p a/b && cd a \\\n && python -c 'print(5)' # five")
        + fenced("text", "5")
        + fenced("python", "assert Path.cwd().name == 'a' and Path('b').is_dir()")
        + fenced("sh", "A=1 python3 -c 'import os, sys; sys.exit(4 - int(os.environ[\"A\"]))'",
                 "raises: exit 3")
        + fenced("sh", "pip install 'torch-fusionkit[demo]>=0.1' torch\nfusionkit --version")
        + fenced("text", f"fusionkit {fk.__version__}")
        + fenced("julia", "1", "not run: there is no julia here")
    )  # fmt: skip


def test_branches_come_without_weights_and_texts_may_be_exchanged(run_page: RunPage) -> None:
    code = "from fusionkit import Branch\nassert Branch('timm/resnet18').weights is None"
    code += "\nsum(range(10**12))"
    run_page(fenced("python", code), instead={"10**12": "10"})


PYPROJECT = """[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "fusionkit-page-plugin"
version = "0.3"

[project.entry-points.fusionkit]
pageplugin = "fusionkit_page_plugin.plugin"
"""
PLUGIN = """import fusionkit as fk

def build(*, in_channels, weights, num_classes):
    raise NotImplementedError

@fk.hookimpl
def fusionkit_backbones():
    return {"one": build}
"""
HOME = "src/fusionkit_page_plugin"
LISTED = "import fusionkit as fk\nprint(fk.Catalog.installed().backbones('pageplugin'))"


def test_a_page_builds_a_plugin_from_an_empty_folder(run_page: RunPage) -> None:
    test = "import fusionkit as fk\n\ndef test_it():\n    assert 'pageplugin/one' in "
    test += "fk.Catalog.installed().backbones()"
    two = PLUGIN.replace('"one"', '"two": build, "one"')
    page = run_page(
        fenced("sh", "python -m venv .venv && source .venv/bin/activate && mkdir p\ncd p")
        + fenced("toml", PYPROJECT, "file: pyproject.toml")
        + fenced("python", "", f"file: {HOME}/__init__.py")
        + fenced("python", PLUGIN, f"file: {HOME}/plugin.py")
        + fenced("sh", "pip install --editable .\nfusionkit list --provider pageplugin")
        + fenced("text", "pageplugin/one")
        + fenced("python", two, f"file: {HOME}/plugin.py")
        + fenced("python", LISTED)
        + fenced("text", "['pageplugin/one', 'pageplugin/two']")
        + fenced("python", "\ntwice = build", f"append: {HOME}/plugin.py")
        + fenced("python", test, "file: tests/test_it.py")
        + fenced("sh", "pytest -q")
        + fenced("text", "...1 passed in ...")
        + fenced("python", "from fusionkit_page_plugin.plugin import build, twice")
    )
    assert "fusionkit_page_plugin.plugin" in sys.modules
    page.close()
    assert "fusionkit_page_plugin.plugin" not in sys.modules


def test_a_plugin_of_ours_is_installed_by_its_name(run_page: RunPage) -> None:
    run_page(
        fenced("sh", "pip install fusionkit-example && fusionkit list --provider example")
    ).close()


@pytest.mark.parametrize(
    ("pyproject", "message"),
    [
        (
            PYPROJECT.replace("hatchling.build", "poetry"),
            "no stand-in for the build backend poetry",
        ),
        (PYPROJECT.replace('version = "0.3"', ""), "has no {'version'}"),
        (PYPROJECT, "hatchling would find no package"),
        (PYPROJECT + '[tool.hatch.build.targets.wheel]\npackages = ["src/b"]', "none of src/b"),
    ],
    ids=["backend", "version", "no package", "named package"],
)
def test_what_could_not_be_installed_is_told(
    run_page: RunPage, pyproject: str, message: str
) -> None:
    page = fenced("toml", pyproject, "file: pyproject.toml") + fenced("sh", "pip install -e .")
    with pytest.raises(AssertionError, match=message):
        run_page(page)
