"""Fills the templates of a new plugin's files with its names."""

from __future__ import annotations

import re
from importlib.resources import files

from fusionkit import __version__
from fusionkit.scaffold.author import Author
from fusionkit.scaffold.names import PluginNames

__all__ = ["fill_templates"]

FILES = {
    "README.md": "README.md",
    "LICENSE": "LICENSE",
    "pyproject.toml": "pyproject.toml",
    ".gitignore": "gitignore",
    "src/<<package>>/__init__.py": "init.py",
    "src/<<package>>/plugin.py": "plugin.py",
    "src/<<package>>/backbone.py": "backbone.py",
    "src/<<package>>/weights.py": "weights.py",
    "src/<<package>>/head.py": "head.py",
    "src/<<package>>/py.typed": None,
    "tests/test_backbone.py": "test_backbone.py",
    "tests/test_head.py": "test_head.py",
    "tests/test_plugin.py": "test_plugin.py",
    "tests/test_weights.py": "test_weights.py",
    ".github/workflows/tests.yml": "tests.yml",
    ".github/workflows/publish.yml": "publish.yml",
}
"""Each file's template; ``None`` for an empty file."""

BLANK = re.compile(r"<<(\w+)>>")


def fill_templates(names: PluginNames, author: Author) -> dict[str, str]:
    """Gives the text of each file of a new plugin, by its path in the plugin's folder."""
    values = {
        "plugin": names.plugin,
        "distribution": names.distribution,
        "package": names.package,
        "author": str(author),
        "author_toml": author.to_toml(),
        "fusionkit": ".".join(__version__.split(".")[:2]),
    }

    def fill(text: str) -> str:
        return BLANK.sub(lambda blank: values[blank[1]], text)

    return {fill(path): fill(_read(template)) for path, template in FILES.items()}


def _read(template: str | None) -> str:
    if template is None:
        return ""
    return (files(__package__) / "template" / f"{template}.tmpl").read_text(encoding="utf-8")
