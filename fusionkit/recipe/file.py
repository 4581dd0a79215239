"""Reads the file of a recipe, whatever it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fusionkit.errors import ConfigError
from fusionkit.recipe.text import MAX_JSON, parse_json, parse_yaml

__all__ = ["read_document"]


def read_document(path: Path) -> Any:
    """Gives the data in a ``.yaml``, ``.yml`` or ``.json`` file.

    Raises:
        ConfigError: the file is not there, or is neither; names the file and the line.
    """
    parsers = {".yaml": parse_yaml, ".yml": parse_yaml, ".json": parse_json}
    parse = parsers.get(path.suffix.lower())
    if parse is None:
        raise ConfigError(f"cannot read the recipe {path}: name it .yaml, .yml or .json")
    try:
        with path.open("rb") as file:
            # One byte more than the parsers take in UTF-8 is enough for them to refuse it.
            text = file.read(4 * MAX_JSON + 1).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"cannot read the recipe {path}: {error}") from error
    return parse(text, str(path))
