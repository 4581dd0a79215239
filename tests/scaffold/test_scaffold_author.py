"""An author is a name and perhaps an address, and stands in pyproject.toml unharmed."""

from __future__ import annotations

import pytest

from fusionkit import ConfigError
from fusionkit.scaffold.author import Author

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")


@pytest.mark.parametrize(
    ("written", "fields"),
    [
        ("Ada Lovelace", {"name": "Ada Lovelace"}),
        (" Ada <ada@example.org> ", {"name": "Ada", "email": "ada@example.org"}),
        ('Zoë "Z\\" O\'Neil<z@b.co>', {"name": 'Zoë "Z\\" O\'Neil', "email": "z@b.co"}),
    ],
)
def test_it_comes_back_from_toml(written: str, fields: dict[str, str]) -> None:
    author = Author.parse(written)
    assert tomllib.loads(f"a = {author.to_toml()}")["a"] == fields
    assert str(author) == fields["name"]


@pytest.mark.parametrize(
    "written", ["", " ", "<a@b.c>", "Ada <ada>", "Ada <a@b.c", "Ada\nB", "A\x7fB", "A <a@b.c> B"]
)
def test_what_is_neither_is_refused(written: str) -> None:
    with pytest.raises(ConfigError, match=r"an author is written 'Ada Lovelace <ada@example.org>'"):
        Author.parse(written)
