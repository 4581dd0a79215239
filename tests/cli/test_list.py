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
    assert last == {
        "name": "toys/tower",
        "kind": "head",
        "distribution": None,
        "version": "1.5",
        "summary": "Joins the vectors in a toy way.",
        "reads": None,
        "recommended": False,
    }


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


class Plain(fk.FusionHead):
    """Says nothing more."""

    def forward(self, features): ...


def carded(reads: str, recommended: bool = False) -> type[Plain]:
    card = fk.Card("x", (), reads, "Always.", (), "+", recommended=recommended)
    return type("Carded", (Plain,), {"__doc__": f"Joins {reads}.", "card": card})


@pytest.fixture
def with_cards(monkeypatch) -> None:
    """Makes the catalog one of heads with cards, and of some without."""
    own = {"add": carded("vectors"), "best": carded("maps", True), "mean": carded("vectors")}
    strange = {"zoom": carded("maps", True), "able": carded("maps"), "card": Plain}
    catalog = fk.Catalog()
    for name, heads in {"heads": own, "strange": strange}.items():
        plugin = SimpleNamespace(fusionkit_heads=fk.hookimpl(lambda heads=heads: heads))
        catalog = catalog.with_plugin(name, plugin)
    monkeypatch.setattr(fk.Catalog, "installed", classmethod(lambda cls: catalog))


def test_recommended_heads_come_first_in_their_plugin(with_cards, piped):
    names = ["best", "add", "mean", "strange/zoom", "strange/able", "strange/card"]
    assert piped("list", "--kind", "head")[1].splitlines() == names
    told = json.loads(piped("list", "--kind", "head", "--json")[1])
    assert [(head["name"], head["reads"], head["recommended"]) for head in told[:2]] == [
        ("best", "maps", True),
        ("add", "vectors", False),
    ]


def test_at_a_terminal_heads_are_grouped_by_what_they_join(with_cards, at_terminal):
    assert at_terminal("list") == (
        "3 heads that join maps\n"
        "best          recommended: Joins maps.\n"
        "strange/zoom  recommended: Joins maps.\n"
        "strange/able  Joins maps.\n"
        "\n"
        "2 heads that join vectors\n"
        "add           Joins vectors.\n"
        "mean          Joins vectors.\n"
        "\n"
        "1 other head\n"
        "strange/card  Says nothing more.\n"
    )


def test_what_a_stranger_calls_card_is_no_card(catalog, piped, monkeypatch):
    odd = type("Odd", (Plain,), {"card": 52})
    more = fk.Catalog().with_plugin(
        "odd", SimpleNamespace(fusionkit_heads=fk.hookimpl(lambda: {"odd": odd}))
    )
    monkeypatch.setattr(fk.Catalog, "installed", classmethod(lambda cls: more))
    assert json.loads(piped("list", "--json")[1])[0]["reads"] is None
    assert json.loads(piped("info", "odd/odd", "--kind", "head", "--json")[1])["card"] is None


def test_a_head_that_cannot_be_given_is_listed_with_the_cause(catalog, piped, monkeypatch):
    class Lazy(dict):
        def __getitem__(self, name):
            if name == "torn":
                raise ImportError("no module named 'maxtorch'")
            return super().__getitem__(name)

    heads = Lazy(torn=Plain, whole=Plain)
    more = catalog.with_plugin("bad", SimpleNamespace(fusionkit_heads=fk.hookimpl(lambda: heads)))
    monkeypatch.setattr(fk.Catalog, "installed", classmethod(lambda cls: more))
    code, out, err = piped("list", "--kind", "head", "--provider", "bad")
    assert (code, out.splitlines(), err) == (0, ["bad/torn", "bad/whole"], "")
    told = json.loads(piped("list", "--kind", "head", "--provider", "bad", "--json")[1])
    assert (
        "failed to give the head 'torn': ImportError: no module named 'maxtorch'"
        in (told[0]["summary"])
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
