"""The page about the heads and its drawings are what the heads give."""

from __future__ import annotations

import re
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from heads_page.cost import CLASSES, offer, tabulate_cost
from heads_page.drawing import COLUMN, draw
from heads_page.guide import CHOICES
from heads_page.markdown import escape, link_papers, short, table
from heads_page.page import NOT_COUNTED, torch_version
from heads_page.survey import survey_heads
from write_heads import FOLDER, PAGE, write_all

import fusionkit as fk
from fusionkit.card import card_of
from fusionkit.heads.plugin import fusionkit_heads

NAMES = list(fusionkit_heads())
OLD = "docs/heads.md or its drawings are old; run `python tests/docs/write_heads.py`"


COUNTED = {(512, 2), (256, 3)}
"""Where FLOPs are counted anew: a head that computes otherwise shows it there too."""


@pytest.mark.slow
def test_the_page_and_the_drawings_are_what_the_heads_give() -> None:
    files = write_all(COUNTED)
    assert {*FOLDER.iterdir()} == files.keys() - {PAGE}, OLD
    assert all(path.read_text("utf-8") == text for path, text in files.items() if path != PAGE), OLD
    counted = re.search(r"here of torch ([\d.]+)", PAGE.read_text("utf-8"))
    assert counted is not None
    same = counted[1] == torch_version()  # versions of torch may count attention differently
    shown = PAGE.read_text("utf-8")
    if not same:
        shown, files[PAGE] = _without_figures(shown), _without_figures(files[PAGE])
    assert _agree(shown.splitlines(), files[PAGE].splitlines()), OLD


FIGURE = r"\d[\d.,]*(e\+\d+| [kMGTP])?"


def _without_figures(page: str) -> str:
    return re.sub(FIGURE, "0", page)


def _agree(shown: list[str], given: list[str]) -> bool:
    """Tells whether lines are the same, any figure being right where none was counted."""
    return len(shown) == len(given) and all(
        one == other or re.fullmatch(FIGURE.join(map(re.escape, other.split(NOT_COUNTED))), one)
        for one, other in zip(shown, given, strict=True)
    )


def test_a_figure_may_stand_where_none_was_counted_and_nothing_else() -> None:
    given = [f"| 102 k / {NOT_COUNTED} |", "1"]
    assert _agree(["| 102 k / 4.80e+23 |", "1"], given)
    assert not _agree(["| 103 k / 4.80e+23 |", "1"], given)
    assert not _agree(["| 102 k / refused |", "1"], given)
    assert not _agree(["| 102 k / 1 |", "2"], given)
    assert not _agree(["| 102 k / 1 |"], given)


def test_figures_are_all_that_another_torch_may_change() -> None:
    assert _without_figures("| 102 k / 4.80e+23 | mfb") == _without_figures("| 1.20 M / 3 | mfb")
    assert _without_figures("| 102 k | mfb") != _without_figures("| refused: 102 k | mfb")


def test_every_link_of_the_page_leads_somewhere() -> None:
    page = PAGE.read_text("utf-8")
    headings = set(re.findall(r"^### (\w+)$", page, re.MULTILINE))
    assert headings == set(NAMES), OLD
    assert set(re.findall(r"\]\(#(\w+)\)", page)) <= headings
    for target in re.findall(r"\]\((?!#)([^)]*)\)", page):
        is_paper = re.fullmatch(r"https://arxiv\.org/abs/\d{4}\.\d{4,5}", target)
        assert is_paper or (PAGE.parent / target).is_file(), target


def test_every_head_of_the_guide_is_there() -> None:
    assert {name for _, names, _ in CHOICES for name in names} <= set(NAMES)


def test_one_head_is_recommended() -> None:
    heads = fusionkit_heads()
    assert [name for name in NAMES if heads[name].card.recommended] == ["adaptive"]


def test_a_head_without_a_card_is_told_by_name() -> None:
    class Bare(fk.FusionHead):
        def forward(self, features): ...

    plugin = SimpleNamespace(fusionkit_heads=fk.hookimpl(lambda: {"bare": Bare}))
    with pytest.raises(fk.ConfigError, match=r"these heads have no card: bare; .* card = Card"):
        survey_heads(fk.Catalog().with_plugin("heads", plugin))


@pytest.mark.parametrize("name", NAMES)
def test_a_card_is_whole(name: str) -> None:
    card = card_of(fusionkit_heads()[name])
    assert card is not None, f"{name} has no card: fusionkit/heads/vectors/concat.py has one"
    assert card.reads in ("scores", "vectors", "maps", "tokens")
    for text in (card.formula, card.when, card.join, card.branches, *card.papers):
        assert text.strip() == text
        assert text
        assert "\n" not in text
    assert card.papers
    assert card.when.endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_a_drawing_shows_what_its_card_says_and_needs_nothing_else(name: str) -> None:
    card = fusionkit_heads()[name].card
    drawing = draw(name, card)
    root = ElementTree.fromstring(drawing)
    shown = "".join("".join(text.itertext()) for text in root.iter() if text.tag.endswith("text"))
    bare = re.compile(r"[\s_{}()\u200b\u00a0]")
    for text in (card.join, *card.after):
        assert bare.sub("", text) in bare.sub("", shown)
    assert not re.search(r"url|href|@import|http(?!://www\.w3\.org/2000/svg)", drawing)
    width = int(root.attrib["width"])
    assert width <= 1.4 * COLUMN, "it would be shrunk until it cannot be read: say less on the card"
    for box in root.iter("{http://www.w3.org/2000/svg}rect"):
        x, y, wide, high = (float(box.attrib[key]) for key in ("x", "y", "width", "height"))
        assert 0 <= x < x + wide <= width
        assert 0 <= y < y + high <= float(root.attrib["height"])


def test_a_drawing_numbers_the_branches() -> None:
    two = fk.Card("x", (), "maps", "", ("W_i", "F_{i,r} (a b)"), "x_i", branches="two")
    drawing = draw("it", two)
    lowered = re.findall(r'class="low"[^>]*>([^<]*)<', drawing)
    assert lowered == ["1", "2", "1", "2", "1,r", "2,r", "i"]
    assert "circle" not in drawing
    assert "circle" in draw("it", fk.Card("x", (), "maps", "", (), "x_i"))


def test_costs_are_those_counted_by_hand() -> None:
    costs = tabulate_cost(fusionkit_heads()["concat"])
    assert costs[512, 3].parameters == 3 * 512 * CLASSES + CLASSES
    assert costs[512, 3].flops == 2 * 3 * 512 * CLASSES


def test_a_refusal_is_told_with_its_figure() -> None:
    def refuse(inputs, *, num_classes):
        raise fk.AssemblyError(f"it would need {len(inputs)},000 parameters, which are too many")

    def take_two(inputs, *, num_classes):
        raise fk.AssemblyError("it takes two branches")

    assert tabulate_cost(refuse)[256, 8].parameters == 8000
    assert tabulate_cost(take_two)[256, 8].parameters is None
    assert tabulate_cost(take_two)[256, 8].refusal == "it takes two branches"


def test_what_is_offered_is_as_a_resnet_has_it() -> None:
    levels = offer(1, 2048)["branch0"].levels
    assert [(level.channels, level.stride) for level in levels] == [
        (256, 4),
        (512, 8),
        (1024, 16),
        (2048, 32),
    ]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 k"),
        (102_500, "102 k"),
        (26_214_400, "26.2 M"),
        (4_796 * 10**20, "4.80e+23"),
    ],
)
def test_a_number_is_short(number: int, text: str) -> None:
    assert short(number) == text


def test_markdown_of_plain_text() -> None:
    assert escape("a * b < c, `d * e`") == "a \\* b \\< c, `d * e`"
    assert table(("a", "b"), [("x | y", "z")]).splitlines()[2] == "| x \\| y | z |"
    assert link_papers("MFB (arXiv:1708.01471)") == (
        "MFB ([arXiv:1708.01471](https://arxiv.org/abs/1708.01471))"
    )
