"""``Branch``, ``Head`` and ``Recipe`` as values."""

from __future__ import annotations

import copy
import enum
import pickle
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from torch import nn

import fusionkit as fk

BRANCH = fk.Branch("timm/resnet18")


CLASSES = (
    (["cat", "cat"], 2, r"classes has the name 'cat' twice"),
    (["cat"], 2, r"classes has 1 names, but num_classes is 2; write one for each"),
    ("cat", 3, r"classes is a list of names, one line each, got 'cat'"),
    (["a\nb", "c"], 2, r"classes is a list of names"),
    ([1, 2], 2, r"classes is a list of names"),
)


@pytest.mark.parametrize(("classes", "count", "message"), CLASSES)
def test_names_of_classes_are_one_for_each(classes: Any, count: int | None, message: str) -> None:
    with pytest.raises(fk.ConfigError, match=message):
        fk.Recipe({"a": fk.Branch("timm/x")}, fk.Head("concat"), count, classes=classes)


def test_names_of_classes_say_how_many_there_are() -> None:
    named = fk.Recipe({"a": fk.Branch("timm/x")}, fk.Head("concat"), classes=["cat", "dog"])
    assert named.num_classes == 2


def recipe(**branches: Any) -> fk.Recipe:
    return fk.Recipe(branches, fk.Head("concat"))


VALUES = [
    BRANCH,
    fk.Branch(
        "hf/facebook/dinov2-small",
        weights=None,
        input="rgb",
        in_channels=20,
        classifier=False,
        freeze=fk.Freeze.gradual(every=2, norm="eval"),
        lr=fk.LR(0.1, layer_decay=0.75, by="block"),
        preprocessing=fk.Preprocessing(resize=(9, 9), frames=8),
        options={"drop": 0.1, "deep": [1, {"a": None}]},
    ),
    fk.Head("concat"),
    fk.Head("concat", hidden=[512], name="x", self=1),
    fk.Head("concat", **{"a-b": 1, "class": 2, "plain": 3, "\N{MICRO SIGN}": 4}),
    fk.Recipe({"b": BRANCH, "a": BRANCH}, fk.Head("mean"), num_classes=3, preprocess="inside"),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_repr_pickle_and_copies_come_back_equal(value: Any) -> None:
    names = {name: getattr(fk, name) for name in fk.__all__}
    assert eval(repr(value), names) == value
    assert pickle.loads(pickle.dumps(value)) == value
    assert copy.deepcopy(value) == value
    with pytest.raises(AttributeError):
        setattr(value, fields(value)[0].name, "other")


@pytest.mark.parametrize("name", ["bakbone", "frezee", "hidden"])
def test_a_misspelt_argument_of_a_branch_is_a_type_error(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        fk.Branch("timm/resnet18", **{name: 1})


def test_a_head_takes_its_name_by_position() -> None:
    with pytest.raises(TypeError, match="positional"):
        fk.Head(name="concat")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="positional"):
        fk.Branch("timm/resnet18", "default")  # type: ignore[misc]


def test_the_order_of_branches_makes_no_difference() -> None:
    other = fk.Branch("timm/resnet34")
    assert recipe(a=BRANCH, b=other) == recipe(b=other, a=BRANCH)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"backbone": "resnet18"}, "a backbone's name is 'provider/model'.*got 'resnet18'"),
        ({"backbone": "/resnet18"}, "a backbone's name is"),
        ({"backbone": "timm/"}, "a backbone's name is"),
        ({"backbone": " timm/resnet18"}, "a backbone's name is"),
        ({"backbone": "timm/res\nnet18"}, "a backbone's name is"),
        ({"backbone": "timm/\ud800"}, "a backbone's name is"),
        ({"backbone": None}, "Branch.backbone must be a str, got None"),
        ({"backbone": nn.Identity()}, r"Branch\.backbone must be a str, got Identity"),
        ({"weights": ""}, "write None for random initialisation"),
        *(
            ({"weights": text}, f"the text '{text}'; .* write null in YAML and JSON, None in Pyt")
            for text in ("None", "none", "null", "NULL")
        ),
        ({"weights": True}, "is 'default', a tag, a path or a fusionkit.Weights, got True"),
        ({"weights": b"x"}, "is 'default', a tag, a path or a fusionkit.Weights, got b'x'"),
        ({"weights": "a\x00b"}, "is 'default', a tag, a path or a fusionkit.Weights"),
        ({"input": "a.b"}, "'a.b' cannot be the name of an input"),
        ({"input": None}, "None cannot be the name of an input"),
        ({"in_channels": 0}, "in_channels must be a whole number, at least 1, got 0"),
        ({"in_channels": True}, "in_channels must be a whole number, at least 1, got True"),
        ({"in_channels": 3.0}, "in_channels must be a whole number, at least 1, got 3.0"),
        ({"classifier": 1}, "classifier is True, False or None, got 1"),
        ({"classifier": "yes"}, "classifier is True, False or None, got 'yes'"),
        (
            {"freeze": "all"},
            r"Branch\.freeze must be a Freeze, for example Freeze\.all\(\); got 'all'",
        ),
        ({"lr": 0.1}, r"Branch\.lr must be a LR, for example LR\(0\.1\); got 0\.1"),
        ({"preprocessing": {}}, r"Branch\.preprocessing must be a Preprocessing, got \{\}"),
        ({"options": [1]}, r"Branch options must be a Mapping, got \[1\]"),
    ],
)
def test_bad_branches(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(fk.ConfigError, match=message):
        fk.Branch(**{"backbone": "timm/resnet18", **fields})


class Color(str, enum.Enum):
    RED = "red"


OPTIONS: list[tuple[Any, Any]] = [
    ((1, (2, 3)), [1, [2, 3]]),
    (MappingProxyType({"a": 1}), {"a": 1}),
    (np.float64(0.5), 0.5),
    (Color.RED, "red"),
    (True, True),
    (2**70, 2**70),
]


@pytest.mark.parametrize(("given", "kept"), OPTIONS)
def test_options_are_kept_as_a_file_gives_them_back(given: Any, kept: Any) -> None:
    option = fk.Head("concat", option=given).options["option"]
    assert option == kept
    assert type(option) is type(kept)


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), r"Head options\.option: nan is not a number that JSON can hold"),
        ([0, float("inf")], r"Head options\.option\[1\]: inf is not a number"),
        ({"a": {1: 2}}, r"Head options\.option\.a: a key must be text, got 1"),
        ({"k" * 201: 2}, r"a key of 201 characters"),
        (nn.ReLU(), "a ReLU cannot stand in a file; write numbers, strings"),
        (nn.ReLU, "a type cannot stand in a file"),
        ({1, 2}, "a set cannot stand in a file"),
        (np.float32(1), "a float32 cannot stand in a file"),
        ("\ud800", "is not text: it holds half a character"),
        (deep(24), "nested too deep"),
        (10**1000, "the whole number is too long"),
        ("x" * 100_001, "more than the 100,000 allowed; give large data as a file's path"),
    ],
)
def test_options_that_a_file_cannot_hold(value: Any, message: str) -> None:
    with pytest.raises(fk.ConfigError, match=message):
        fk.Head("concat", option=value)


def test_options_are_a_copy() -> None:
    given = {"sizes": [1]}
    branch = fk.Branch("timm/resnet18", options=given)
    given["sizes"].append(2)
    assert branch.options == {"sizes": [1]}


def test_cyclic_options() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(fk.ConfigError, match="nested too deep"):
        fk.Head("concat", cycle=cycle)


@pytest.mark.parametrize("name", ["", " concat", "a\nb", None, 3])
def test_bad_names_of_heads(name: Any) -> None:
    with pytest.raises(fk.ConfigError, match=r"(a head's name is for example|Head name must be)"):
        fk.Head(name)


def test_a_path_of_weights_is_kept_as_text() -> None:
    assert fk.Branch("timm/resnet18", weights=Path("a") / "b.safetensors").weights == str(
        Path("a") / "b.safetensors"
    )


NOT_NAMES = ["", "a.b", "a/b", "a b", "a-b", "1a", "_a", "ünï", "а", "a\n", "x" * 65, None, 3]  # noqa: RUF001


@pytest.mark.parametrize("name", NOT_NAMES)
def test_names_that_are_none(name: Any) -> None:
    with pytest.raises(fk.ConfigError, match="cannot be the name of a branch: a name is a letter"):
        fk.Recipe({name: BRANCH}, fk.Head("concat"))


TAKEN = ["keys", "items", "values", "pop", "type", "train", "eval", "forward", "training", "to"]


@pytest.mark.parametrize("name", [*TAKEN, "half", "head", "branches", "class", "lambda", "None"])
def test_reserved_names(name: str) -> None:
    message = f"'{name}' cannot be the name of a branch: it is reserved; .*'{name}_branch'"
    with pytest.raises(fk.ConfigError, match=message):
        fk.Recipe({name: BRANCH}, fk.Head("concat"))
    assert f"{name}_branch" in recipe(**{f"{name}_branch": BRANCH}).branches


def test_every_name_that_a_module_dict_refuses_is_refused() -> None:
    for name in dir(nn.ModuleDict()):
        with pytest.raises(fk.ConfigError):
            fk.Recipe({name: BRANCH}, fk.Head("concat"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"branches": {}},
            r"a model needs a mapping of at least one branch by name, compose\(.*; got \{\}",
        ),
        ({"branches": [BRANCH]}, r"a mapping of at least one branch by name, .*; got \[Branch\("),
        ({"branches": {"a": "timm/x"}}, r"branch 'a' must be .*; write Branch\('timm/x'\)"),
        ({"branches": {"a": None}}, "branch 'a' must be a fusionkit.Branch, got NoneType"),
        ({"head": "concat"}, r"the head must be .*got str; write Head\('concat'\)"),
        ({"head": None}, r"the head must be a fusionkit\.Head, got NoneType"),
        ({"num_classes": 0}, "num_classes must be a whole number, at least 1: .*; got 0"),
        ({"num_classes": True}, "num_classes must be a whole number, at least 1: .*; got True"),
        ({"num_classes": 2.0}, "num_classes must be a whole number, at least 1: .*; got 2.0"),
        ({"preprocess": "in"}, "preprocess is 'outside' or 'inside', got 'in'"),
        (
            {"branches": {"a": BRANCH, "b": fk.Branch("timm/x", input="a")}},
            "branch 'b' reads the input 'a', which is the name of another branch",
        ),
    ],
)
def test_bad_recipes(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(fk.ConfigError, match=message):
        fk.Recipe(**{"branches": {"a": BRANCH}, "head": fk.Head("concat"), **fields})


def test_an_input_may_bear_the_name_of_its_own_branch() -> None:
    assert recipe(rgb=fk.Branch("timm/x", input="rgb")).branches["rgb"].input == "rgb"
