"""Errors keep their type, and say where they arose."""

from __future__ import annotations

import pytest

import fusionkit as fk
from fusionkit import errors
from fusionkit.assembly.factory import call_factory, located

KINDS = [getattr(errors, name) for name in errors.__all__ if name.endswith("Error")]


def failing(error):
    def factory(**options):
        raise error

    return factory


@pytest.mark.parametrize("kind", KINDS)
def test_each_error_of_ours_keeps_its_type_and_gains_its_place(kind):
    copy = located(kind("it broke"), "branch 'a'")
    assert type(copy) is kind
    assert str(copy) == "branch 'a': it broke"
    with pytest.raises(kind, match=r"^it broke$"):
        call_factory("x/y", failing(kind("it broke")), (), {})


def test_a_plugins_own_error_becomes_the_one_it_stands_for():
    class Mine(fk.CheckpointError):
        def __init__(self, path, line):
            super().__init__(f"{path}:{line}")

    copy = located(Mine("f", 3), "branch 'a'")
    assert type(copy) is fk.CheckpointError
    assert str(copy) == "branch 'a': f:3"


def test_other_errors_say_whose_factory_failed():
    with pytest.raises(fk.AssemblyError, match="factory of 'x/y' failed: KeyError: 'w'") as caught:
        call_factory("x/y", failing(KeyError("w")), (), {})
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(fk.OptionError, match="'x/y' does not take these options: no 'depth'"):
        call_factory("x/y", failing(TypeError("no 'depth'")), (), {"depth": 3})


def test_an_interrupt_is_not_held_back():
    with pytest.raises(KeyboardInterrupt):
        call_factory("x/y", failing(KeyboardInterrupt()), (), {})
