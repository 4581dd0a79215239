"""The environment variables that keep plugins out."""

from __future__ import annotations

import warnings

import pytest

from fusionkit import PluginError
from fusionkit.plugins.settings import Settings


def test_without_variables_everything_is_let_in():
    settings = Settings.read({})
    assert settings == Settings()
    assert settings.block("timm") is None


def test_names_are_split_at_commas():
    settings = Settings.read({"FUSIONKIT_DISABLE_PLUGINS": " a, ,b,"})
    assert settings.disabled == ("a", "b")
    assert settings.block("b") == "blocked by FUSIONKIT_DISABLE_PLUGINS=a,b"
    assert settings.block("c") is None


def test_an_empty_list_of_plugins_to_load_lets_none_in():
    settings = Settings.read({"FUSIONKIT_LOAD_PLUGINS": ""})
    assert settings.only == ()
    assert settings.block("timm") == "not among those that FUSIONKIT_LOAD_PLUGINS= lets in"


@pytest.mark.parametrize(("value", "strict"), [("1", True), ("0", False), ("", False)])
def test_strict_is_one_or_zero(value, strict):
    assert Settings.read({"FUSIONKIT_STRICT_PLUGINS": value}).strict is strict


def test_another_value_of_strict_is_refused():
    with pytest.raises(PluginError, match="FUSIONKIT_STRICT_PLUGINS is 0 or 1, got 'true'"):
        Settings.read({"FUSIONKIT_STRICT_PLUGINS": "true"})


def test_known_names_give_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Settings(disabled=("a",), only=("b",)).warn_of_unknown(["a", "b"])


def test_unknown_names_to_load_are_a_warning_too():
    with pytest.warns(UserWarning, match="FUSIONKIT_LOAD_PLUGINS names 'tim', but no such plugin"):
        Settings(only=("tim",)).warn_of_unknown(["timm"])
