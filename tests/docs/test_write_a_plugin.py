"""The tutorial ends with what new-plugin writes; its tables are what the kit says of itself."""

from __future__ import annotations

from check_tables import PAGE, with_tables
from fenced import read_blocks

from fusionkit.scaffold.author import Author
from fusionkit.scaffold.fill import fill_templates
from fusionkit.scaffold.names import PluginNames

TEXT = PAGE.read_text(encoding="utf-8")
IN_WORDS = {"README.md", "LICENSE", ".gitignore"}


def test_it_begins_with_seventeen_lines() -> None:
    first = next(block for block in read_blocks(TEXT) if block.kind == "python")
    assert sum(bool(line.strip()) for line in first.text.splitlines()) == 17
    assert "## Seventeen lines" in TEXT


def test_it_ends_with_what_new_plugin_writes() -> None:
    written = {}
    for block in read_blocks(TEXT):
        if path := block.marks.get("file"):
            written[path] = block.text
    names = PluginNames.parse("example")
    expected = fill_templates(names, Author("The fusionkit authors"))
    assert written.keys() - IN_WORDS == expected.keys() - IN_WORDS
    for path in written.keys() - IN_WORDS:
        assert written[path] == expected[path], path


def test_every_check_is_in_a_table_with_its_promise() -> None:
    assert with_tables(TEXT) == TEXT, "run python tests/docs/check_tables.py"
