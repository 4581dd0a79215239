"""The tree of errors, and the words that they share."""

from __future__ import annotations

from collections.abc import Collection

import pytest

import fusionkit as fk
from fusionkit import errors
from fusionkit.errors import some_of


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name.endswith("Error")])
def test_every_error_is_public_and_of_one_tree(name: str) -> None:
    error = getattr(fk, name)
    assert issubclass(error, fk.FusionKitError)
    assert str(error("what happened")) == "what happened"


def test_wrong_values_are_value_errors_and_wrong_options_type_errors() -> None:
    assert issubclass(fk.ConfigError, ValueError)
    assert issubclass(fk.PolicyError, ValueError)
    assert issubclass(fk.OptionError, TypeError)
    assert issubclass(fk.OptionError, fk.ConfigError)


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("resnt18", ["resnet18"], " Did you mean 'resnet18'?"),
        ("resnet1", ["resnet18", "resnet10"], " Did you mean 'resnet18' or 'resnet10'?"),
        ("RESNET18", ["vgg11", "ResNet18"], " Did you mean 'ResNet18'?"),
        ("zzz", ["resnet18"], ""),
        ("", ["resnet18"], ""),
        ("a", [], ""),
        ("aa", ["aa", "aa"], " Did you mean 'aa'?"),
        ("x" * 1_000_000, ["x" * 999_999], ""),
    ],
)
def test_near_names(name: str, known: list[str], expected: str) -> None:
    assert fk.did_you_mean(name, known) == expected


def test_at_most_three_near_names() -> None:
    known = [f"resnet{i}" for i in range(1000)]
    assert fk.did_you_mean("resnet", known).count("'resnet") == 3


@pytest.mark.parametrize(
    ("names", "shown"), [([], ""), (["a"], "a"), ([1, 2, 3], "1, 2, 3"), ("abcd", "a, b, c, ...")]
)
def test_some_of_many_names(names: Collection[object], shown: str) -> None:
    assert some_of(names) == shown
