"""Recipes as data, as text and as files."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fusionkit as fk
from fusionkit.recipe.form import FORMAT, recipe_from_data, recipe_to_data
from fusionkit.recipe.text import parse_json, parse_yaml

MINIMAL = "branches: {shape: timm/resnet18}\nhead: concat\n"


def read(text: str) -> fk.Recipe:
    return recipe_from_data(parse_yaml(text, "pets.yaml"), "pets.yaml")


def read_branch(fields: str) -> fk.Branch:
    text = f"head: concat\nbranches:\n  shape: {{backbone: timm/resnet18, {fields}}}\n"
    return read(text).branches["shape"]


MODES = {
    "norm": st.sampled_from(["follow", "eval"]),
    "dropout": st.sampled_from(["follow", "eval"]),
}
COUNTS = st.integers(1, 50)
WORDS = st.text("abc*.?[]", min_size=1, max_size=8) | st.sampled_from(
    ["norm", "bias", "1e-4", "no"]
)
FREEZES = st.one_of(
    st.builds(fk.Freeze.all, **MODES),
    st.builds(fk.Freeze.none, **MODES),
    st.builds(fk.Freeze.last, st.integers(0, 50), **MODES),
    st.builds(fk.Freeze.until, WORDS, **MODES),
    st.lists(WORDS, min_size=1, max_size=3).flatmap(
        lambda patterns: st.builds(fk.Freeze.only, *map(st.just, patterns), **MODES)
    ),
    st.builds(
        fk.Freeze.on_plateau,
        st.sampled_from(["val_loss", "val_accuracy"]),
        COUNTS,
        COUNTS,
        mode=st.sampled_from(["min", "max"]),
        min_delta=st.floats(0, 1),
        start=st.integers(0, 50),
        **MODES,
    ),
    st.builds(fk.Freeze.gradual, st.none() | st.integers(0, 50), COUNTS, COUNTS, **MODES),
)
RATES = st.builds(
    fk.LR,
    st.floats(1e-4, 1e3) | st.integers(1, 9),
    layer_decay=st.floats(0.3, 1) | st.just(1),
    weight_decay=st.none() | st.floats(0, 1) | st.just(0),
    warmup=st.integers(0, 9),
    by=st.sampled_from(["stage", "block"]),
)
PIXELS = st.tuples(COUNTS, COUNTS)
PREPARATIONS = st.integers(1, 4).flatmap(
    lambda channels: st.builds(
        fk.Preprocessing,
        size=PIXELS,
        mean=st.tuples(*[st.floats(-5, 2)] * channels),
        std=st.tuples(*[st.floats(0.01, 5)] * channels),
        interpolation=st.sampled_from(["nearest", "bilinear", "bicubic"]),
        resize=st.none() | COUNTS | PIXELS,
        frames=st.none() | COUNTS,
    )
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e9, 1e9) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
OPTIONS = st.dictionaries(st.text(max_size=9), PLAIN, max_size=3)
BRANCHES = st.builds(
    fk.Branch,
    st.sampled_from(["timm/resnet18.a1_in1k", "hf/facebook/dinov2-small", "x/1e-4", "timm/~"]),
    weights=st.sampled_from([None, "default", "IMAGENET1K_V2", "a/b.safetensors", "1e-4", "true"]),
    input=st.sampled_from(["image", "flow_1", "no", "y"]),
    in_channels=COUNTS,
    classifier=st.sampled_from([None, True, False]),
    freeze=FREEZES,
    lr=RATES,
    preprocessing=st.none() | PREPARATIONS | st.just(fk.Preprocessing()),
    options=OPTIONS,
)
NAMES = st.from_regex(r"[A-Z][A-Za-z0-9_]{0,9}", fullmatch=True).filter(
    lambda name: name not in ("T_destination", "None", "True", "False")
)
HEADS = st.builds(
    lambda name, options: fk.Head(name, **options), st.sampled_from(["concat", "no"]), OPTIONS
)
RECIPES = st.builds(
    fk.Recipe,
    st.dictionaries(NAMES, BRANCHES, min_size=1, max_size=3),
    HEADS,
    num_classes=st.none() | COUNTS,
    preprocess=st.sampled_from(["outside", "inside"]),
)


@settings(deadline=None)
@given(RECIPES)
def test_f106_data_and_both_texts_come_back_equal(recipe: fk.Recipe) -> None:
    data = recipe_to_data(recipe)
    assert recipe_from_data(data) == recipe
    assert recipe_from_data(parse_json(json.dumps(data), "p.json")) == recipe
    assert recipe_from_data(parse_json(fk.format_recipe(recipe, "json"), "p.json")) == recipe
    assert recipe_from_data(parse_yaml(fk.format_recipe(recipe), "p.yaml")) == recipe


@settings(deadline=None)
@given(st.one_of(FREEZES, RATES, PREPARATIONS, BRANCHES, HEADS, RECIPES))
def test_repr_comes_back_equal(value: Any) -> None:
    assert eval(repr(value), {name: getattr(fk, name) for name in fk.__all__}) == value


def test_data_is_a_copy_without_defaults() -> None:
    recipe = fk.Recipe({"shape": fk.Branch("timm/resnet18")}, fk.Head("concat", hidden=[5]))
    data = recipe_to_data(recipe)
    assert data == {
        "format": FORMAT,
        "branches": {"shape": {"backbone": "timm/resnet18", "weights": "default"}},
        "head": {"name": "concat", "options": {"hidden": [5]}},
        "num_classes": None,
    }
    data["head"]["options"]["hidden"].append(6)
    assert recipe.head.options == {"hidden": [5]}


def test_reading_leaves_the_data_as_it_was() -> None:
    data = {"branches": {"a": {"backbone": "timm/x", "freeze": "all", "lr": 1}}, "head": "concat"}
    before = json.dumps(data)
    recipe_from_data(data)
    assert json.dumps(data) == before


@pytest.mark.parametrize(
    ("short", "expected"),
    [
        ("freeze: all", fk.Freeze.all()),
        ("freeze: none", fk.Freeze.none()),
        ("freeze: gradual", fk.Freeze.gradual()),
        ("freeze: {all: true, norm: eval}", fk.Freeze.all(norm="eval")),
        ("freeze: {last: 2}", fk.Freeze.last(2)),
        ("freeze: {last: 0, dropout: eval}", fk.Freeze.last(0, dropout="eval")),
        ("freeze: {until: layer3}", fk.Freeze.until("layer3")),
        ("freeze: {only: norm}", fk.Freeze.only("norm")),
        ("freeze: {only: [norm, '*.bias']}", fk.Freeze.only("norm", "*.bias")),
        ("freeze: {gradual: true}", fk.Freeze.gradual()),
        ("freeze: {gradual: {}}", fk.Freeze.gradual()),
        ("freeze: on_plateau", fk.Freeze.on_plateau()),
        (
            "freeze: {on_plateau: {metric: val_accuracy, mode: max, patience: 3}}",
            fk.Freeze.on_plateau("val_accuracy", 3, mode="max"),
        ),
        ("freeze: {gradual: {every: 2}}", fk.Freeze.gradual(every=2)),
        ("freeze: {gradual: {start: 0, every: 2, stages: 3}}", fk.Freeze.gradual(0, 2, 3)),
        ("lr: 0.1", fk.LR(0.1)),
        ("lr: 1", fk.LR(1)),
        ("lr: 1e-2", fk.LR(0.01)),
        ("lr: {}", fk.LR()),
        ("lr: {layer_decay: 1, weight_decay: 0}", fk.LR(layer_decay=1, weight_decay=0)),
        ("preprocessing: {}", fk.Preprocessing()),
        ("preprocessing: {resize: 256}", fk.Preprocessing(resize=256)),
        ("preprocessing: {resize: [8, 9]}", fk.Preprocessing(resize=(8, 9))),
        ("preprocessing: {mean: [0], std: [1]}", fk.Preprocessing(mean=(0,), std=(1,))),
    ],
)
def test_short_forms(short: str, expected: Any) -> None:
    assert getattr(read_branch(short), short.partition(":")[0]) == expected


def test_short_forms_of_branch_and_head() -> None:
    long = "branches: {shape: {backbone: timm/resnet18}}\nhead: {name: concat, options: {}}\n"
    assert read(MINIMAL) == read(long) == read(f"format: 1\n{long}")
    assert read(MINIMAL).num_classes is None


BRANCH_FAULTS = [
    ("lr: {scal: 1}", r"lr\.scal: there is no such field\. Did you mean 'scale'\?"),
    ("lr: {zzz: 1}", r"lr\.zzz: there is no such field\. The fields are scale, layer_decay, "),
    ("lr: {scale: '1'}", r'lr\.scale: must be a number, got "1"'),
    ("lr: '0.1'", r'lr: must be a number or a mapping, got "0\.1"'),
    ("lr: true", r"lr: must be a number or a mapping, got true"),
    ("lr:", r"lr: must be a number or a mapping, got null"),
    ("lr: -1", r"lr: LR\.scale must be positive .* freeze it with Freeze\.all"),
    ("lr: {warmup: 1.0}", r"lr\.warmup: must be a whole number, got 1\.0"),
    ("lr: {by: blok}", r"lr\.by: must be 'stage' or 'block', got \"blok\""),
    ("in_chanels: 3", r"in_chanels: there is no such field\. Did you mean 'in_channels'\?"),
    ("hidden: 3", r"hidden: there is no such field\. Options of the provider .* under 'options'"),
    ("_: 3", r"_: there is no such field"),
    ("in_channels: '10'", r'in_channels: must be a whole number, got "10"'),
    ("in_channels: true", r"in_channels: must be a whole number, got true"),
    ("in_channels: 3.0", r"in_channels: must be a whole number, got 3\.0"),
    ("in_channels: 0", r"Branch\.in_channels must be a whole number, at least 1, got 0"),
    ("classifier: yes", r'classifier: must be true or false, got "yes"'),
    ("weights: 3", r"weights: must be text or a mapping, got 3"),
    ("weights: {sorce: x}", r"weights\.sorce: there is no such field. Did you mean 'source'"),
    ("weights: {ignore: [x]}", r"weights\.source: is missing"),
    ("weights: {source: x, ignore: x}", r"weights: Weights\.ignore is a list of globs"),
    ("weights: {source: x, sha256: 12}", r"weights: Weights\.sha256 is the file.s checksum"),
    ("weights: ''", r"Branch\.weights is 'default', a tag, a path or a fusionkit.Weights, got ''"),
    ("input: a.b", r"'a\.b' cannot be the name of an input"),
    ("options: 3", r"options: must be a mapping, got 3"),
    ("freeze: al", r"freeze: Freeze has no rule 'al'\. Did you mean 'all'\?"),
    ("freeze: zzz", r"freeze: Freeze has no rule 'zzz'\. The rules are all, none, last"),
    ("freeze: {lst: 2}", r"freeze\.lst: Freeze has no rule 'lst'\. Did you mean 'last'\?"),
    ("freeze: {last: 2, nrm: eval}", r"freeze\.nrm: Freeze has no rule 'nrm'\. .*'norm'"),
    ("freeze: last", r"freeze: 'last' needs a value, for example \{last: 2\}"),
    ("freeze: {last: '2'}", r"freeze: Freeze\.last takes a number of stages >= 0, got '2'"),
    ("freeze: {last: true}", r"freeze: Freeze\.last takes a number of stages >= 0, got True"),
    ("freeze: {last: 1, until: x}", r"freeze: takes exactly one of .*; got 'last' and 'until'"),
    ("freeze: {norm: eval}", r"freeze: takes exactly one of all, none, .*; got none"),
    ("freeze: {all: false}", r"freeze\.all: takes no value; write 'all', or \{all: true\}"),
    ("freeze: {all: true, norm: evil}", r"freeze: Freeze\.norm is 'follow' or 'eval', got 'evil'"),
    ("freeze: {gradual: 2}", r"freeze\.gradual: must be a mapping, for example .*, got 2"),
    ("freeze: {gradual: {evry: 2}}", r"freeze\.gradual\.evry: there is no such .* 'every'"),
    ("freeze: {gradual: {zzz: 2}}", r"freeze\.gradual\.zzz: .* fields are start, every, stages"),
    ("freeze: {on_plateau: 2}", r"freeze\.on_plateau: must be a mapping, for example .*, got 2"),
    (
        "freeze: {on_plateau: {patence: 2}}",
        r"freeze\.on_plateau\.patence: .* 'patience'",
    ),
    ("freeze: {gradual: {every: 0}}", r"freeze: Freeze\.gradual takes every >= 1"),
    ("freeze: {only: []}", r"freeze: Freeze\.only takes at least one"),
    ("freeze: {until: 3}", r"freeze: Freeze\.until takes the name"),
    ("freeze:", r"freeze: must be a rule such as 'all' or \{last: 2\}, got null"),
    ("freeze: [all]", r'freeze: must be a rule such as .*, got \["all"\]'),
    ("preprocessing: {siz: 1}", r"preprocessing\.siz: there is no such field\. .*'size'"),
    ("preprocessing: {size: 224}", r"preprocessing\.size: must be a list, got 224"),
    ("preprocessing: {size: [224]}", r"preprocessing\.size\.1: is missing"),
    ("preprocessing: {size: [224, x]}", r"preprocessing\.size\.1: must be a whole number"),
    ("preprocessing: {resize: x}", r"preprocessing\.resize: must be a whole number or a list"),
    ("preprocessing: {std: [0, 1, 1]}", r"preprocessing: preprocessing std must be positive"),
    ("preprocessing: {interpolation: x}", r"preprocessing\.interpolation: must be 'nearest', "),
    ("preprocessing: []", r"preprocessing: must be a mapping, got \[\]"),
]


@pytest.mark.parametrize(("fields", "message"), BRANCH_FAULTS)
def test_f106_a_fault_of_a_branch_names_file_and_field(fields: str, message: str) -> None:
    with pytest.raises(fk.ConfigError, match=rf"^pets\.yaml: branches\.shape(\.|: ){message}"):
        read_branch(fields)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a recipe is a mapping with 'branches' and 'head', got nothing"),
        ("[]", "a recipe is a mapping with 'branches' and 'head', got list"),
        ("head: concat", "branches: is missing"),
        ("branches: {a: timm/x}", "head: is missing"),
        ("brances: {}\nhead: c", r"brances: there is no such field\. Did you mean 'branches'\?"),
        ("zzz: 1\nhead: c", "zzz: .* The fields are branches, head, num_classes, preprocess, form"),
        ("branches: []\nhead: c", r"branches: must be a mapping, got \[\]"),
        ("branches: {}\nhead: c", "a model needs a mapping of at least one branch by name"),
        ("branches: {a: x}\nhead: c", r"branches\.a: a backbone's name is 'provider/model'"),
        ("branches: {a: }\nhead: c", r"branches\.a: must be a backbone's name or a mapping"),
        ("branches: {a: {}}\nhead: c", r"branches\.a\.backbone: is missing"),
        ("branches: {lr: {backbone: timm/x, scal: 1}}\nhead: c", r"branches\.lr\.scal: .*options"),
        ("branches: {keys: timm/x}\nhead: c", "'keys' cannot be the name of a branch"),
        ("branches: {a.b: timm/x}\nhead: c", r"'a\.b' cannot be the name of a branch"),
        ("branches: {'': timm/x}\nhead: c", "'' cannot be the name of a branch"),
        ("branches: {ünï: timm/x}\nhead: c", "'ünï' cannot be the name of a branch"),
        ("branches: {a: timm/x}\nhead: 3", "head: must be a head's name or a mapping, got 3"),
        ("branches: {a: timm/x}\nhead: ''", "head: a head's name is for example 'concat'"),
        ("branches: {a: timm/x}\nhead: {nam: c}", r"head\.nam: .*Did you mean 'name'\? \(and 1 mo"),
        ("branches: {a: timm/x}\nhead: {name: c, hidden: 1}", r"head\.hidden: .* under 'options'"),
        (
            "branches: {a: timm/x}\nhead: c\nnum_classes: 0",
            "num_classes must be a whole number, at least 1: .*got 0",
        ),
        ("branches: {a: timm/x}\nhead: c\nnum_classes: '3'", "num_classes: must be a whole number"),
        ("branches: {a: timm/x}\nhead: c\npreprocess: insid", "preprocess: must be 'outside' or"),
        ('branches: {"a\\n": {b: 1}}\nhead: c', r"branches\.'a\\n'\.b: there is no such field"),
    ],
)
def test_f106_a_fault_of_the_recipe_names_file_and_field(text: str, message: str) -> None:
    with pytest.raises(fk.ConfigError, match=f"^pets.yaml: {message}"):
        read(text)


@pytest.mark.parametrize("version", [2, 99])
def test_a_later_format_is_refused_naming_both(version: int) -> None:
    message = f"written in recipe format {version}, but this fusionkit reads formats up to 1; inst"
    with pytest.raises(fk.ConfigError, match=f"^pets.yaml: format: {message}"):
        read(f"format: {version}\nbranches: {{a: {{from_the_future: 1}}}}\n")


@pytest.mark.parametrize("version", ["'1'", "1.0", "true", "0", "-1", "", "[1]"])
def test_a_format_that_is_none(version: str) -> None:
    with pytest.raises(fk.ConfigError, match=r"^pets\.yaml: format: must be a whole number"):
        read(f"format: {version}\n{MINIMAL}")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"branches": {1: "timm/x"}, "head": "c"}, "a key must be text, got 1"),
        ({"branches": {True: "timm/x"}, "head": "c"}, "a key must be text, got True"),
        ({"branches": {"a": fk.Branch("timm/x")}, "head": "c"}, "a Branch cannot stand in a file"),
        ({"branches": {"a": "timm/x"}, "head": "c", "x": float("nan")}, "nan is not a number"),
    ],
)
def test_data_that_no_file_could_hold(data: dict[str, Any], message: str) -> None:
    with pytest.raises(fk.ConfigError, match=f"^recipe: .*{message}"):
        recipe_from_data(data)


FIELDS = [field.name for kind in (fk.Branch, fk.Preprocessing) for field in fields(kind)]
JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [*FIELDS, "branches", "head", "a", "last", "gradual", "only", "name", "\ud800"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@settings(deadline=None, max_examples=300)
@given(JSONISH, JSONISH, JSONISH)
def test_f106_any_data_is_read_or_refused(whole: Any, branch: Any, head: Any) -> None:
    for data in (whole, {"branches": {"a": branch}, "head": head}):
        try:
            recipe = recipe_from_data(data, "p")
        except fk.ConfigError as error:
            assert str(error).startswith("p: ")  # noqa: PT017 - both outcomes are right
        else:
            assert recipe_from_data(recipe_to_data(recipe)) == recipe


def test_weights_are_relative_to_the_folder_of_the_recipe(tmp_path: Path) -> None:
    absolute = tmp_path / "elsewhere" / "c.safetensors"
    path = tmp_path / "recipes" / "pets.yaml"
    path.parent.mkdir()
    path.write_text(
        "branches:\n"
        "  a: {backbone: timm/resnet18, weights: w/a.SafeTensors}\n"
        "  b: {backbone: timm/resnet18, weights: ../b.safetensors}\n"
        f"  c: {{backbone: timm/resnet18, weights: {absolute}}}\n"
        "  d: {backbone: timm/resnet18, weights: a1_in1k}\n"
        "  e: {backbone: timm/resnet18, weights: null}\n"
        "head: concat\n"
    )
    weights = {name: branch.weights for name, branch in fk.read_recipe(path).branches.items()}
    assert weights == {
        "a": str(path.parent / "w" / "a.SafeTensors"),
        "b": str(path.parent / ".." / "b.safetensors"),
        "c": str(absolute),
        "d": "a1_in1k",
        "e": None,
    }
    assert fk.read_recipe(str(path)) == fk.read_recipe(path)


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".json", ".YAML", ".Json"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_files_of_both_kinds(tmp_path: Path, suffix: str, mark: str) -> None:
    recipe = read(MINIMAL)
    path = tmp_path / f"pets{suffix}"
    form = "json" if suffix.lower() == ".json" else "yaml"
    path.write_text(mark + fk.format_recipe(recipe, form), encoding="utf-8")
    assert fk.read_recipe(path) == recipe


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("pets.toml", b"", "name it .yaml, .yml or .json"),
        ("pets", b"", "name it .yaml, .yml or .json"),
        ("utf16.yaml", "head: c".encode("utf-16"), "cannot read the recipe .*utf-8"),
        ("pickle.yaml", b"\x80\x04\x95", "cannot read the recipe .*utf-8"),
        ("large.yaml", b"#" * 5_000_000, "4,000,001 characters, more than the 250,000 allowed"),
        ("large.json", b" " * 5_000_000, "4,000,001 characters, more than the 1,000,000 allowed"),
        ("empty.yaml", b"", "a recipe is a mapping with 'branches' and 'head', got nothing"),
        ("empty.json", b"", "not JSON"),
        ("twice.json", b'{"head": 1, "head": 2}', "the key 'head' stands twice"),
        ("line.yaml", b"head: c\nhead: d\n", r"line\.yaml:2: the key 'head' stands twice"),
    ],
)
def test_files_that_are_no_recipes(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(fk.ConfigError, match=message) as caught:
        fk.read_recipe(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["absent.yaml", "folder.yaml", "a\0b.yaml", "x" * 300 + ".yaml"])
def test_files_that_cannot_be_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(fk.ConfigError, match="cannot read the recipe"):
        fk.read_recipe(tmp_path / name)


def test_pydantic_is_imported_only_when_data_is_read() -> None:
    script = (
        "import sys, fusionkit as fk\n"
        "recipe = fk.Recipe({'a': fk.Branch('timm/x', lr=fk.LR(1))}, fk.Head('concat'))\n"
        "fk.read_recipe, fk.format_recipe(recipe), fk.suggest(3)\n"
        "heavy = {'pydantic', 'timm', 'torchvision', 'lightning', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "from fusionkit.recipe.form import recipe_from_data\n"
        "recipe_from_data({'branches': {'a': 'timm/x'}, 'head': 'concat'})\n"
        "assert 'pydantic' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
