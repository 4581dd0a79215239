"""Runs the commands that the pages' ``sh`` blocks may have."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path

from stand_in_install import StandInInstall, read_project

from fusionkit.cli.main import run as run_fusionkit

__all__ = ["Commands"]

ROOT = Path(__file__).parents[2]
REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)(\[[\w, -]+\])?(?P<version>\s*[<>=!~].*)?")
MINUTES = 5


class Commands:
    """What can be run on one page, in its folder and with what it has installed.

    Args:
        folder: the page's own folder, which its commands do not leave.
        installed: where its ``pip install`` goes.
    """

    def __init__(self, folder: Path, installed: StandInInstall) -> None:
        self._folder = folder.resolve()
        self._installed = installed
        self._runners: dict[str, Callable[[list[str]], int]] = {
            ".": self._activate,
            "cd": self._cd,
            "fusionkit": self._fusionkit,
            "mkdir": self._mkdir,
            "pip": self._pip,
            "pytest": self._pytest,
            "python": self._python,
            "python3": self._python,
            "source": self._activate,
        }

    def run(self, words: list[str]) -> int:
        """Runs one command and gives its exit code; what it prints goes to ``sys.stdout``."""
        name = words[0].removeprefix(".venv/bin/")
        assert name in self._runners, (
            f"no way is known to run {name!r}, only {', '.join(self._runners)}: "
            "say above the block why it is not run, as <!-- not run: cause -->"
        )
        return self._runners[name](words[1:])

    def inside(self, place: str) -> Path:
        """Gives a place under the page's present folder, and refuses one outside of the page's."""
        path = (Path.cwd() / place).resolve()
        assert path.is_relative_to(self._folder), f"{place} is not inside of the page's folder"
        return path

    def _activate(self, words: list[str]) -> int:
        assert words == [".venv/bin/activate"], f"there is nothing to source at {words}"
        return 0

    def _cd(self, words: list[str]) -> int:
        (place,) = words
        os.chdir(self.inside(place))
        return 0

    def _mkdir(self, words: list[str]) -> int:
        for place in words:
            if place != "-p":
                self.inside(place).mkdir(parents="-p" in words, exist_ok="-p" in words)
        return 0

    def _fusionkit(self, words: list[str]) -> int:
        assert words[:1] != ["demo"], "the demo takes minutes: mark it <!-- ci: demo -->"
        try:
            run_fusionkit(words)
        except SystemExit as stop:
            return stop.code if isinstance(stop.code, int) else int(stop.code is not None)

    def _pip(self, words: list[str]) -> int:
        action, *rest = words
        assert action == "install", f"no way is known to run pip {action}"
        for word in rest:
            if word in ("-e", "--editable", "-q", "--quiet", "-U", "--upgrade"):
                continue
            if word.startswith(".") or "/" in word:
                place = word.partition("[")[0]
                here = Path.cwd() / place
                self._installed.install((here if here.is_dir() else ROOT / place).resolve())
            else:
                requirement = REQUIREMENT.fullmatch(word)
                assert requirement, f"pip would not understand {word!r}"
                name = _plain(requirement["name"])
                assert name in _known_names(), (
                    f"{word} is no distribution that this repository makes or declares"
                )
                if (ROOT / "plugins" / name).is_dir():
                    self._installed.install(ROOT / "plugins" / name)
        return 0

    def _pytest(self, words: list[str]) -> int:
        return self._process([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words])

    def _python(self, words: list[str]) -> int:
        if words[:1] == ["-m"] and words[1] in ("pip", "pytest"):
            return self._runners[words[1]](words[2:])
        if words[:2] == ["-m", "venv"]:
            return 0
        return self._process([sys.executable, *words])

    def _process(self, words: list[str]) -> int:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        paths = os.pathsep.join(str(root) for root in self._installed.roots)
        done = subprocess.run(
            words,
            env={**ours, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60 * MINUTES,
            check=False,
        )
        print(done.stdout, end="")
        return done.returncode


def _known_names() -> set[str]:
    """Gives the distributions that this repository makes, and those that it declares to need."""
    names = set()
    for path in [ROOT / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")]:
        project = read_project(path.parent)["project"]
        extras = project.get("optional-dependencies", {}).values()
        for line in [project["name"], *project.get("dependencies", ()), *chain(*extras)]:
            requirement = REQUIREMENT.fullmatch(line.partition(";")[0].strip())
            assert requirement, f"{path} requires {line!r}, which is not understood"
            names.add(_plain(requirement["name"]))
    return names


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
