"""Strict YAML and JSON: what they take, what they refuse, and how fast."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import fusionkit as fk
from fusionkit.recipe.text import MAX_JSON, MAX_YAML, format_yaml, parse_json, parse_yaml

SCALARS: list[tuple[str, Any]] = [
    ("1e-4", 1e-4),
    ("5e-05", 5e-05),
    ("1E5", 1e5),
    ("+1e+5", 1e5),
    ("1.", 1.0),
    (".5", 0.5),
    ("-.5e1", -5.0),
    ("0.0", 0.0),
    ("0", 0),
    ("-0", 0),
    ("+12", 12),
    ("010", 10),
    ("0o10", 8),
    ("0x1F", 31),
    ("123456789012345678901234567890", 123456789012345678901234567890),
    ("1_000", "1_000"),
    ("0b1", "0b1"),
    ("12:30", "12:30"),
    ("12:30:45", "12:30:45"),
    ("2001-01-01", "2001-01-01"),
    ("1.2.3", "1.2.3"),
    ("1e", "1e"),
    (".", "."),
    ("+", "+"),
    ("NO", "NO"),
    ("no", "no"),
    ("yes", "yes"),
    ("on", "on"),
    ("Off", "Off"),
    ("y", "y"),
    ("true", True),
    ("True", True),
    ("FALSE", False),
    ("tRue", "tRue"),
    ("null", None),
    ("NULL", None),
    ("~", None),
    ("", None),
    ("nUll", "nUll"),
    ("=", "="),
    ("'1'", "1"),
    ('"true"', "true"),
    ("''", ""),
    ("timm/resnet50.a1_in1k", "timm/resnet50.a1_in1k"),
]


@pytest.mark.parametrize(("written", "expected"), SCALARS)
def test_f103_scalars_of_yaml_1_2(written: str, expected: Any) -> None:
    value = parse_yaml(f"a: {written}\n", "p.yaml")["a"]
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    "written", [".inf", "-.INF", ".nan", "1e999", "9" * 1001, "0x" + "f" * 999]
)
def test_f103_numbers_that_cannot_be_meant(written: str) -> None:
    with pytest.raises(fk.ConfigError, match=r"^p\.yaml:2: (the number .* is not finite|a whole)"):
        parse_yaml(f"b: 1\na: {written}\n", "p.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", r"p\.yaml:3: the key 'a' stands twice"),
        ("a:\n  b: {c: 1, c: 2}\n", r"p\.yaml:2: the key 'c' stands twice"),
        ("a: 1\n'a': 2\n", r"p\.yaml:2: the key 'a' stands twice"),
        ("a: 1\n1: 2\n", r"p\.yaml:2: a key must be text, got 1; put it in quotes"),
        ("true: 2\n", r"p\.yaml:1: a key must be text, got True"),
        ("?\n: 2\n", r"p\.yaml:1: a key must be text, got None"),
        ("a: 1\n: 2\n", r"p\.yaml:2: expected <block end>, but found ':'"),
        ("? [a]\n: 2\n", r"p\.yaml:1: a key must be text, got a list or mapping"),
        ("? {a: 1}\n: 2\n", r"p\.yaml:1: a key must be text, got a list or mapping"),
        ("x: &x {b: 1}\na:\n  <<: *x\n", r"p\.yaml:3: merge keys \('<<'\) are not in YAML 1\.2"),
        ("a: !!python/object/apply:os.system [ls]\n", r"p\.yaml:1: tags such as 'tag:yaml"),
        ("a: !!int '1'\n", r"p\.yaml:1: tags such as 'tag:yaml\.org,2002:int' are not read"),
        ("a: !mine 1\n", r"p\.yaml:1: tags such as '!mine' are not read"),
        ("a: ! 1\n", r"p\.yaml:1: tags such as '!' are not read"),
        ("--- !!set {a}\n", r"p\.yaml:1: tags such as"),
        ("a: 1\n---\nb: 2\n", r"p\.yaml:2: a second document begins"),
        ("%YAML 1.1\n---\na: 1\n", r"p\.yaml:1: this is read as YAML 1\.2; remove the %YAML line"),
        ("%YAML 3.0\n---\na: 1\n", r"p\.yaml:1: found incompatible YAML document"),
        ("a: *b\n", r"p\.yaml:1: '\*b' refers to an anchor that is not above it"),
        ("&a [*a]\n", r"p\.yaml:1: '\*a' refers to what it stands in"),
        ("a: &b {c: [*b]}\n", r"p\.yaml:1: '\*b' refers to what it stands in"),
        ("a: &b 1\nc: &b 2\n", r"p\.yaml:2: the anchor '&b' stands twice"),
        ("a: [1\n", r"p\.yaml:2: expected ',' or '\]'"),
        ("a: 1\n\tb: 2\n", r"p\.yaml:2: found character '\\t' that cannot start any token"),
        ("a: 1\nb: \x07\n", r"p\.yaml:2: the character U\+0007 has no place in YAML"),
        ("a: \ud800\n", r"p\.yaml:1: the character U\+D800 has no place in YAML"),
        ('a: "\\UFFFFFFFF"\n', r"p\.yaml: not YAML: "),
        ("@a\n", r"p\.yaml:1: found character '@' that cannot start any token"),
    ],
)
def test_refused_yaml_names_the_line(text: str, message: str) -> None:
    with pytest.raises(fk.ConfigError, match=f"^{message}"):
        parse_yaml(text, "p.yaml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("# nothing\n", None),
        ("---\n...\n", None),
        ("\ufeffa: 1\n", {"a": 1}),
        ("%YAML 1.2\n---\na: 1\n", {"a": 1}),
        ("a: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
        ("'<<': 1\n", {"<<": 1}),
        ("{}", {}),
        ("a: {b: [1, {c: 2}], d: []}\n", {"a": {"b": [1, {"c": 2}], "d": []}}),
        ("a: &x text\nb: *x\n", {"a": "text", "b": "text"}),
        ("&x a: *x\n", {"a": "a"}),
        ("a: |\n  1\n  2\n", {"a": "1\n2\n"}),
    ],
)
def test_taken_yaml(text: str, expected: Any) -> None:
    assert parse_yaml(text, "p.yaml") == expected


def test_an_alias_gives_a_copy() -> None:
    data = parse_yaml("a: &x {b: [1]}\nc: *x\nd: *x\n", "p.yaml")
    assert data["a"] == data["c"] == data["d"]
    data["a"]["b"].append(2)
    assert data["c"] == {"b": [1]}
    assert data["c"]["b"] is not data["d"]["b"]


def bomb(levels: int, width: int) -> str:
    lines = ["a0: &a0 [x]"]
    for level in range(1, levels + 1):
        inner = ", ".join([f"*a{level - 1}"] * width)
        lines.append(f"a{level}: &a{level} [{inner}]")
    return "\n".join(lines)


TOO_MUCH = {
    "5000 deep, flow": ("[" * 5000 + "]" * 5000, "nested deeper than 32 levels"),
    "5000 deep, block": ("- " * 5000, "nested deeper than 32 levels"),
    "5000 deep, keys": ("{a: " * 5000 + "1" + "}" * 5000, "nested deeper than 32 levels"),
    "deep by aliases": (bomb(40, 1), "nested deeper than 32 levels"),
    "alias bomb": (bomb(6, 9), "more than 10,000 values, aliases counted"),
    "wide alias bomb": (bomb(2, 400), "more than 10,000 values, aliases counted"),
    "40k keys": ("\n".join(f"k{i}: 1" for i in range(40_000)), "characters, more than"),
    "20k short keys": ("\n".join(f"{i:x}x: 1" for i in range(20_000)), "more than 10,000 values"),
    "a megabyte": ("a: " + "x" * 1_000_000, "1,000,003 characters, more than the 250,000 allowed"),
}


@pytest.mark.parametrize(("text", "message"), TOO_MUCH.values(), ids=TOO_MUCH)
def test_f104_too_much_is_refused_within_a_second(text: str, message: str) -> None:
    before = time.process_time()
    with pytest.raises(fk.ConfigError, match=message):
        parse_yaml(text, "p.yaml")
    assert time.process_time() - before < 1


LARGEST = {
    "scalar": "a: " + "x" * (MAX_YAML - 3),
    "escapes": 'a: "' + "\\n" * (MAX_YAML // 2 - 4) + '"',
    "words": "a: " + "x " * (MAX_YAML // 2 - 2),
    "lines": "a: |\n" + " x\n" * (MAX_YAML // 3 - 2),
    "blank lines": "\n" * MAX_YAML,
    "comment": "#" * MAX_YAML,
    "key": "x" * (MAX_YAML - 3) + ": 1",
    "anchors": "[" + ", ".join(f"&a{i} x" for i in range(9_000)) + "]",
}


@pytest.mark.parametrize("text", LARGEST.values(), ids=LARGEST)
def test_f104_the_largest_text_takes_less_than_a_second(text: str) -> None:
    assert len(text) <= MAX_YAML
    before = time.process_time()
    with suppress(fk.ConfigError):
        parse_yaml(text, "p.yaml")
    assert time.process_time() - before < 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 2}', "the key 'a' stands twice in one object"),
        ('{"a": {"b": 1, "b": 1}}', "the key 'b' stands twice in one object"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ("[-Infinity]", "-Infinity is not a JSON number"),
        ("[1e999]", "the number 1e999 is too large"),
        ("[" * 5000 + "]" * 5000, "nested deeper than 32 levels"),
        ('{"a":' * 33 + "1" + "}" * 33, "nested deeper than 32 levels"),
        ("[" * 900_000, "nested deeper than 32 levels"),
        ("9" * 5000, "not JSON: "),
        ("", "not JSON: Expecting value: line 1 column 1"),
        ("{'a': 1}", "not JSON: Expecting property name"),
        ('{"a": 1,\n}', "not JSON: .* line [12]"),
        ('"\\"' * 200_000, "not JSON: "),
        ('"' + '\\"' * 400_000, "not JSON: "),
        ("\ufeff{}", "not JSON: Unexpected UTF-8 BOM"),
        ("x" * (MAX_JSON + 1), "1,000,001 characters, more than the 1,000,000 allowed"),
    ],
)
def test_f105_refused_json_within_a_second(text: str, message: str) -> None:
    before = time.process_time()
    with pytest.raises(fk.ConfigError, match=f"^p\\.json: {message}") as caught:
        parse_json(text, "p.json")
    assert time.process_time() - before < 1
    assert len(str(caught.value)) < 300


def test_brackets_in_json_strings_are_not_depth() -> None:
    text = json.dumps({"[" * 100: '{"' * 100, "a": "\\"})
    assert parse_json(text, "p.json") == json.loads(text)


def test_32_levels_are_taken() -> None:
    assert parse_json("[" * 32 + "]" * 32, "p.json") == parse_yaml("[" * 32 + "]" * 32, "p.yaml")


SNIPPETS = st.sampled_from(
    ["!!python/object:os.system ", "&a ", "*a", "<<: ", "\n---\n", "\t", "\ufeff", "? ", ": ",
     "- ", "\n", "[", "]", "{", "}", ",", '"', "'", "|\n", ">\n", "%YAML 1.2\n", "%TAG ! tag:\n",
     "#", "@", "`", "\x00", "\x85", "\u2028", "\\u", "\\UFFFFFFFF", "!<", "1e999", ".nan", "0x",
     "a", "b: 1\n", "  ", "...\n", "\ud800"]
)  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=200),
    st.lists(SNIPPETS, max_size=30).map("".join),
    st.binary(max_size=100).map(lambda raw: raw.decode("latin-1")),
)


@settings(deadline=None, max_examples=400)
@given(TEXTS)
@example("%TAG ! tag:\n--- !a b")
@example("&a &a a")
@example("*a : b")
@example("[a]: b")
@example("\\")
def test_f106_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_yaml, parse_json):
        try:
            json.dumps(parse(text, "p"), allow_nan=False)
        except fk.ConfigError as error:
            assert str(error).startswith("p:")  # noqa: PT017 - both outcomes are right


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from([written for written, _ in SCALARS]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(PLAIN)
@example(
    {"1e-4": "1e-4", "a": "0o10", "b": ["", "010", "<<", "="], "<<": ".inf", "é": "\U0001f600"}
)
def test_what_is_written_is_read_back_equal(data: Any) -> None:
    assert parse_yaml(format_yaml(data), "p.yaml") == data
    assert parse_json(json.dumps(data), "p.json") == data


def test_shared_parts_are_written_out() -> None:
    shared = {"a": [1]}
    assert format_yaml({"x": shared, "y": shared}) == "x:\n  a:\n  - 1\ny:\n  a:\n  - 1\n"
