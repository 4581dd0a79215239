"""Who wrote a new plugin, as its licence and its pyproject.toml say it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from fusionkit.errors import ConfigError

__all__ = ["Author"]

WRITTEN = re.compile(r"(?P<name>[^<>]*[^<>\s])(\s*<(?P<email>[^<>@\s]+@[^<>@\s]+\.[^<>@\s]+)>)?")


@dataclass(frozen=True, slots=True)
class Author:
    """A name, and where to write to."""

    name: str
    email: str | None = None

    @classmethod
    def parse(cls, text: str) -> Author:
        """Reads ``"Ada Lovelace <ada@example.org>"``, with or without the address.

        Raises:
            ConfigError: it is neither.
        """
        written = WRITTEN.fullmatch(text.strip())
        if written is None or not text.isprintable():
            raise ConfigError(
                "an author is written 'Ada Lovelace <ada@example.org>' or 'Ada Lovelace'; "
                f"got {text!r:.100}"
            )
        return cls(written["name"], written["email"])

    def __str__(self) -> str:
        return self.name

    def to_toml(self) -> str:
        """Gives the table of ``project.authors``."""
        fields = {"name": self.name} | ({"email": self.email} if self.email else {})
        # a JSON text without control characters is a TOML text
        told = (f"{key} = {json.dumps(text, ensure_ascii=False)}" for key, text in fields.items())
        return f"{{ {', '.join(told)} }}"
