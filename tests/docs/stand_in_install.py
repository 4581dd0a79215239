"""Makes a folder's distribution importable and its entry points known, without pip or a network."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["StandInInstall", "read_project"]


def read_project(folder: Path) -> dict[str, Any]:
    """Gives what a folder's pyproject.toml says."""
    path = folder / "pyproject.toml"
    assert path.is_file(), f"{folder} has no pyproject.toml to install from"
    return tomllib.loads(path.read_text(encoding="utf-8"))


class StandInInstall:
    """The distributions that one page has installed, until its test ends.

    Attributes:
        roots: the folders that Python imports from, for a process of its own.
    """

    def __init__(self, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        site.mkdir()
        self.roots = [site]
        self._site = site
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(sys, "dont_write_bytecode", True)  # files change within a second
        monkeypatch.syspath_prepend(site)

    def install(self, folder: Path) -> None:
        """Does what ``pip install --editable folder`` would, for a project built by hatchling."""
        pyproject = read_project(folder)
        backend = pyproject["build-system"]["build-backend"]
        assert backend == "hatchling.build", f"there is no stand-in for the build backend {backend}"
        project = pyproject["project"]
        if project["name"] == "torch-fusionkit":
            return  # the tests run on it, so it is there
        missing = {"name", "version"} - project.keys()
        assert not missing, f"{folder}/pyproject.toml has no {missing} in [project]"
        root = _package(folder, pyproject).parent
        if root not in self.roots:
            self.roots.append(root)
            self._monkeypatch.syspath_prepend(root)
        self._write(project)
        self.forget()

    def forget(self) -> None:
        """Has Python and fusionkit read anew what they know of the installed modules."""
        homes = [str(root.resolve()) + os.sep for root in self.roots]
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None) or ""
            if any(file.startswith(home) for home in homes):
                del sys.modules[name]
        later = self._site.stat().st_mtime_ns + 1_000_000
        os.utime(self._site, ns=(later, later))  # by which the catalog tells that it is out of date

    def _write(self, project: dict[str, Any]) -> None:
        stem = re.sub(r"[-_.]+", "_", project["name"])
        record = self._site / f"{stem}-{project['version']}.dist-info"
        record.mkdir(exist_ok=True)
        head = f"Name: {project['name']}\nVersion: {project['version']}\n"
        (record / "METADATA").write_text(f"Metadata-Version: 2.1\n{head}")
        lines = []
        for group, entries in project.get("entry-points", {}).items():
            lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
        (record / "entry_points.txt").write_text("\n".join(lines) + "\n")


def _package(folder: Path, pyproject: dict[str, Any]) -> Path:
    """Gives the package that hatchling would put into the wheel."""
    build = pyproject.get("tool", {}).get("hatch", {}).get("build", {})
    named = build.get("targets", {}).get("wheel", {}).get("packages")
    stem = re.sub(r"[-_.]+", "_", pyproject["project"]["name"])
    places = named or [f"src/{stem}", stem]
    found = [folder / place for place in places if (folder / place / "__init__.py").is_file()]
    assert found, f"hatchling would find no package in {folder}: none of {', '.join(places)}"
    return found[0]
