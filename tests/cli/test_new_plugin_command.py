"""``fusionkit new-plugin``."""

from __future__ import annotations

import os

import pytest

from fusionkit.plugins.discovery import Candidate
from fusionkit.scaffold import names


def test_it_says_what_it_wrote_and_what_comes_next(piped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = piped("new-plugin", "Spiral_Net", "--author", "Ada Lovelace <ada@example.org>")
    assert (code, err) == (0, "")
    assert out == (
        "Wrote 16 files to fusionkit-spiral-net: the backbone spiral-net/reversible and the head "
        "spiral-net/gated,\nboth to be replaced by yours. Next:\n\n"
        "  cd fusionkit-spiral-net\n"
        '  pip install -e ".[dev]"\n'
        "  pytest\n"
    )
    written = tmp_path / "fusionkit-spiral-net"
    assert "Copyright (c) Ada Lovelace\n" in (written / "LICENSE").read_text()
    assert 'email = "ada@example.org"' in (written / "pyproject.toml").read_text()


def test_it_writes_where_it_is_told_to(piped, tmp_path):
    place = tmp_path / "my plugins"
    place.mkdir()
    code, out, _ = piped("new-plugin", "spiral", "--directory", str(place))
    assert code == 0
    assert os.listdir(place) == ["fusionkit-spiral"]
    assert f"  cd '{place}/fusionkit-spiral'\n" in out
    licence = (place / "fusionkit-spiral" / "LICENSE").read_text()
    assert "Copyright (c) The fusionkit-spiral authors\n" in licence


def test_a_second_time_it_writes_nothing(piped, tmp_path):
    assert piped("new-plugin", "spiral", "--directory", str(tmp_path))[0] == 0
    (tmp_path / "fusionkit-spiral" / "README.md").write_text("mine")
    code, out, err = piped("new-plugin", "spiral", "--directory", str(tmp_path))
    assert (code, out) == (2, "")
    assert "is not empty; nothing was written" in err
    assert (tmp_path / "fusionkit-spiral" / "README.md").read_text() == "mine"


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    """The present folder, where the plugin ``taken`` is installed."""
    taken = Candidate("taken", "module", "x", "1.0")
    monkeypatch.setattr(names, "discover", lambda: ((taken,), ()))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["a b"], 2, "cannot be a plugin's name"),
        (["timm"], 2, "is a name of fusionkit's own"),
        (["taken"], 3, "there is a plugin 'taken' already, of the installed distribution x 1.0"),
        (["spiral", "--author", "<>"], 2, "an author is written"),
        (["spiral", "--directory", "nowhere"], 2, "there is no folder nowhere"),
    ],
)
def test_what_is_refused(piped, empty_folder, arguments, code, message):
    ended, out, err = piped("new-plugin", *arguments)
    assert (ended, out) == (code, "")
    assert message in err
    assert os.listdir(empty_folder) == []
