"""The command that shows the oldest versions reads them where they are declared."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

COMMAND = Path(__file__).parents[1] / ".ci" / "versions"


@pytest.fixture
def command(tmp_path: Path) -> dict[str, Any]:
    names = runpy.run_path(str(COMMAND))
    names["lower_bounds"].__globals__["ROOT"] = tmp_path
    return names


def write_project(
    folder: Path, *requirements: str, name: str = "toy", extra: str = "", python: str = "3.10"
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "{name}"\nrequires-python = ">={python}"\n'
        f"dependencies = {list(requirements)}\noptional-dependencies.dev = [{extra}]\n"
    )


def test_every_bound_that_is_declared_is_pinned() -> None:
    command = runpy.run_path(str(COMMAND))
    plugins, _ = command["plugins_for"](sys.executable)
    bounds = command["lower_bounds"](plugins)
    text = (COMMAND.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    for name in ("torch", "torchvision", "timm", "pluggy"):
        assert f'"{name}>={bounds[name]}"' in text
    assert "torch-fusionkit" not in bounds


def test_the_highest_of_several_bounds_counts(tmp_path: Path, command: dict[str, Any]) -> None:
    write_project(tmp_path, "a>=1.9", "B_c[x, y] >= 2, <3; python_version < '4'", extra="'d>=0'")
    write_project(tmp_path / "plugins" / "p", "a>=1.10", "toy[dev]", "b.c>=1", name="p")
    assert command["lower_bounds"]([tmp_path / "plugins" / "p"]) == {
        "a": "1.10",
        "b-c": "2",
        "d": "0",
    }


def test_what_has_no_lower_bound_is_refused(tmp_path: Path, command: dict[str, Any]) -> None:
    write_project(tmp_path, "a>=1", "b<2")
    with pytest.raises(SystemExit, match=r"pyproject\.toml: 'b<2' has no lower bound"):
        command["lower_bounds"]([])


def test_a_plugin_that_needs_a_later_python_is_told(
    tmp_path: Path, command: dict[str, Any]
) -> None:
    old, new = tmp_path / "plugins" / "old", tmp_path / "plugins" / "new"
    write_project(old)
    write_project(new, python="3.999")
    assert command["plugins_for"](sys.executable) == ([old], {new: "3.999"})


def test_a_python_that_is_not_there_is_told(tmp_path: Path, command: dict[str, Any]) -> None:
    write_project(tmp_path, python="3.999")
    with pytest.raises(SystemExit, match=r"there is no Python 3\.999 here"):
        command["find_python"]("oldest")


def test_the_first_command_that_fails_ends_it(command: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match="ended with 3"):
        command["run"](sys.executable, "-c", "raise SystemExit(3)")


def test_ci_hands_over_to_it() -> None:
    run = COMMAND.with_name("run")
    done = subprocess.run([run, "versions", "--help"], capture_output=True, text=True, check=True)
    assert "oldest|newest" in done.stdout


def test_an_environment_that_is_none_is_told(tmp_path: Path) -> None:
    words = [sys.executable, COMMAND, "oldest", "--environment", tmp_path]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path} is no virtual environment: it has no bin/python\n"
