"""``fusionkit list``."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

import fusionkit as fk

ALL = ["toys/both", "toys/broken", "toys/net", "toys/picky", "join", "toys/both", "toys/tower"]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ([], ALL),
        (["--kind", "head"], ALL[4:]),
        (["--kind", "backbone"], ALL[:4]),
        (["--filter", "*o*"], ["toys/both", "toys/broken", "toys/net", "toys/picky", *ALL[4:]]),
        (["--filter", "net"], ["toys/net"]),
        (["--provider", "heads"], ["join"]),
    ],
)
def test_into_a_pipe_goes_one_name_a_line(catalog, piped, arguments, names):
    code, out, err = piped("list", *arguments)
    assert (code, err) == (0, "")
    assert out.splitlines() == names


def test_nothing_found_is_said_beside_the_output(catalog, piped):
    assert piped("list", "--filter", "zzz*") == (0, "", "nothing matches\n")


def test_an_unknown_provider_is_an_error_with_near_names(catalog, piped):
    code, out, err = piped("list", "--provider", "toy")
    assert (code, out) == (2, "")
    assert "no plugin 'toy' is installed. Did you mean 'toys'?" in err


def test_json_is_for_programs(catalog, piped):
    _, out, _ = piped("list", "--json", "--filter", "t*")
    first, *_, last = json.loads(out)
    assert first == {
        "name": "toys/both",
        "kind": "backbone",
        "distribution": None,
        "version": "1.5",
    }
    assert last["kind"] == "head"
    assert last["summary"] == "Joins the vectors in a toy way."


def test_at_a_terminal_names_stand_in_columns_and_heads_say_what_they_are(catalog, at_terminal):
    assert at_terminal("list") == (
        "4 backbones of toys\n"
        "toys/both  toys/broken  toys/net  toys/picky\n"
        "\n"
        "3 heads\n"
        "join        Joins the vectors in a toy way.\n"
        "toys/both   Joins the vectors in a toy way.\n"
        "toys/tower  Joins the vectors in a toy way.\n"
    )


def test_a_plugin_that_failed_is_said_to_be_left_out(catalog, piped, monkeypatch):
    def explode():
        raise ValueError("boom")

    lazy = SimpleNamespace(keys=explode)
    mapping = type("Lazy", (dict,), {"__iter__": lambda self: explode()})()
    more = catalog.with_plugin(
        "bad", SimpleNamespace(fusionkit_backbones=fk.hookimpl(lambda: mapping))
    )
    monkeypatch.setattr(fk.Catalog, "installed", classmethod(lambda cls: more))
    code, out, err = piped("list", "--kind", "head")
    assert (code, out.splitlines()) == (0, ALL[4:])
    assert err == "left out: bad (failed; `fusionkit plugins` says why)\n"
    assert lazy is not None
