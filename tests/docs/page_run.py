"""Runs a page's fenced blocks one after another, each as its kind and its marks ask."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from commands import Commands
from fenced import Block
from shell_lines import split_commands
from stand_in_install import StandInInstall, tomllib

import fusionkit as fk
from fusionkit.recipe.form import recipe_from_data, recipe_to_data
from fusionkit.recipe.text import parse_yaml

__all__ = ["PageRun", "Surroundings"]

CI = Path(__file__).parents[2] / ".ci" / "run"
Branch = fk.Branch


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What one page takes for granted.

    Attributes:
        names: what its python may use without having made it.
        files: what lies in its folder.
        instead: what is written otherwise before it is run, to save minutes or a network.
        needs: a module that has to be there, without which the page is skipped.
    """

    names: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    instead: dict[str, str] = field(default_factory=dict)
    needs: str | None = None


class PageRun:
    """One page from its first block to its last, in an empty folder of its own."""

    def __init__(
        self, page: Path, surroundings: Surroundings, tmp_path: Path, patch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "page"
        folder.mkdir()
        for name, text in surroundings.files.items():
            (folder / name).write_text(text, encoding="utf-8")
        patch.chdir(folder)
        patch.setenv("COLUMNS", "100")
        patch.setattr(fk, "Branch", _branch_without_weights)
        self._page = page
        self._instead = surroundings.instead
        self._patch = patch
        self._installed = StandInInstall(tmp_path / "site", patch)
        self._commands = Commands(folder, self._installed)
        self._module = ModuleType(
            "fusionkit_page"
        )  # a real one, so that its classes can be pickled
        vars(self._module).update(surroundings.names)
        patch.setitem(sys.modules, self._module.__name__, self._module)
        self._answers: tuple[str, ...] = ()

    def run(self, block: Block) -> None:
        """Runs one block.

        Raises:
            AssertionError: there is no way to run it, or it does not do what the page says.
            Exception: whatever a python or yaml block raises.
        """
        text = block.text
        for written, instead in self._instead.items():
            text = text.replace(written, instead)
        runner = getattr(self, f"_run_{block.kind}", None)
        if cause := block.marks.get("not run"):
            assert len(cause.split()) >= 3, f"{cause!r} is no cause: say why the block is not run"
        elif name := block.marks.get("ci"):
            assert _ci_runs(name), f".ci/run runs no command of the name {name!r}"
        elif block.marks.keys() & {"file", "append"}:
            self._write(block)
        else:
            assert runner, (
                f"no way is known to run a block of the kind {block.kind!r}: write one in "
                "tests/docs/page_run.py, or above the block <!-- not run: cause -->"
            )
            runner(block, text)

    def close(self) -> None:
        """Takes the page's modules out of Python's memory."""
        self._installed.forget()

    def _run_python(self, block: Block, text: str) -> None:
        # blank lines before it let a traceback show the page's own line
        code = compile("\n" * block.line + text, str(self._page), "exec")
        with self._expecting(block):
            exec(code, vars(self._module))

    def _run_yaml(self, block: Block, text: str) -> None:
        with self._expecting(block):
            recipe = recipe_from_data(parse_yaml(text, "recipe.yaml"), "recipe.yaml")
            assert recipe_from_data(recipe_to_data(recipe)) == recipe

    def _run_toml(self, block: Block, text: str) -> None:
        tomllib.loads(text)

    def _run_sh(self, block: Block, text: str) -> None:
        commands = split_commands(text)
        codes = [0] * len(commands)
        if expected := block.marks.get("raises"):
            codes[-1] = int(expected.removeprefix("exit "))
        with self._listening() as heard:
            for (settings, words), code in zip(commands, codes, strict=True):
                with self._patch.context() as patch:
                    for name, value in settings.items():
                        patch.setenv(name, value)
                    ended = self._commands.run(words)
                assert ended == code, f"{words} ended with {ended}, not {code}:\n{heard.getvalue()}"

    def _run_text(self, block: Block, text: str) -> None:
        assert self._answers, "there is no block before it whose output it could be"
        pattern = ".*".join(re.escape(part) for part in _bare(text).split("..."))
        assert any(re.fullmatch(pattern, answer, re.DOTALL) for answer in self._answers), (
            f"the page quotes\n{_bare(text)}\nwhere this is printed:\n{self._answers[0]}"
        )

    def _write(self, block: Block) -> None:
        appended = "append" in block.marks
        path = self._commands.inside(block.marks["append" if appended else "file"])
        text = (path.read_text(encoding="utf-8") if appended else "") + block.text
        if path.suffix == ".py":
            compile(text, str(path), "exec")
        elif path.suffix == ".toml":
            tomllib.loads(text)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        self._installed.forget()

    @contextmanager
    def _expecting(self, block: Block) -> Iterator[None]:
        """Lets a block raise what its mark says, and nothing else."""
        expected = block.marks.get("raises")
        try:
            with self._listening():
                yield
        except Exception as error:
            names = [kind.__name__ for kind in type(error).__mro__]
            if expected not in names:
                raise
            message = _bare(str(error))
            self._answers = (message, f"{names[0]}: {message}")
        else:
            assert expected is None, f"the block raises no {expected}"

    @contextmanager
    def _listening(self) -> Iterator[io.StringIO]:
        """Keeps what is printed for the block that quotes it."""
        heard = io.StringIO()
        with redirect_stdout(heard), redirect_stderr(heard):
            yield heard
        self._answers = (_bare(heard.getvalue()),)


def _branch_without_weights(*arguments: Any, **options: Any) -> fk.Branch:
    return Branch(*arguments, **{"weights": None, **options})


def _ci_runs(name: str) -> bool:
    loop = re.search(r"^for name in (.*); do$", CI.read_text(encoding="utf-8"), re.MULTILINE)
    return loop is not None and name in loop[1].split()


def _bare(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())
