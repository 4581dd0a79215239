"""Options that a factory does not take are refused where they are written."""

from __future__ import annotations

import pytest
from odd_toys import branch, build

import fusionkit as fk
from fusionkit.assembly.options import check_options


def factory(*, in_channels, weights, num_classes, width=8, depth):
    raise AssertionError("it must not be called")


GIVEN = {"in_channels": 3, "weights": None, "num_classes": None}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"widht": 3, "depth": 1},
            "'x' was given options it cannot take: .*'widht'.* Did you mean 'width'",
        ),
        ({}, "missing a required argument: 'depth'"),
        ({"depth": 1, "in_channels": 3}, r"'in_channels'.*field, Branch\(in_channels=\.\.\.\)"),
        ({"depth": 1, "weights": "a"}, r"field, Branch\(weights=\.\.\.\)"),
    ],
)
def test_wrong_options_are_type_errors_with_near_names(options, message):
    for kind in (TypeError, fk.OptionError, fk.ConfigError):
        with pytest.raises(kind, match=message):
            check_options("x", factory, (), GIVEN, options)


@pytest.mark.parametrize(
    ("takes", "cause"),
    [
        (lambda: None, "got an unexpected keyword argument 'in_channels'"),
        (lambda in_channels, classes, weights: None, "missing a required argument: 'classes'"),
        (lambda weights, in_channels, /, num_classes: None, "'weights'"),
    ],
)
def test_a_factory_that_cannot_be_called_as_the_core_calls_it_is_told_apart(takes, cause):
    with pytest.raises(fk.OptionError) as caught:
        check_options("x", takes, (), GIVEN, {})
    message = str(caught.value)
    assert message.startswith(
        "the factory of 'x' cannot be called with in_channels, weights, num_classes by name: "
    )
    assert cause in message
    assert message.endswith("; a plugin's factory takes them all")


def test_right_options_pass_uncalled():
    check_options("x", factory, (), GIVEN, {"depth": 1, "width": 2})
    check_options("x", lambda **anything: None, (), GIVEN, {"whatever": 1})


def test_a_callable_that_tells_nothing_is_left_to_its_call():
    check_options("x", type, (), {}, {"any": 1})


def test_a_typo_names_the_branch_or_the_head():
    with pytest.raises(TypeError, match=r"branch 'a' \(odd/tiny\): .*'widht'.*'width'"):
        build({"a": branch("tiny", options={"widht": 3})})
    with pytest.raises(TypeError, match=r"head 'odd/maps': .*'levle'.*Did you mean 'level'"):
        build({"a": "tiny"}, fk.Head("odd/maps", levle=0))
    with pytest.raises(fk.OptionError, match=r"head 'odd/sum': .*num_classes of compose"):
        build({"a": "tiny"}, fk.Head("odd/sum", num_classes=3))
