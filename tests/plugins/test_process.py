"""What the whole process shares is told and put back, whatever happens in between."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from fusionkit.plugins.process import Setting, restoring, shared_settings, switch


def test_only_what_changed_is_told_with_values_that_mean_something():
    held = SimpleNamespace(on=False, state=[1], still=3)
    settings = [switch(f"the {name}", held, name) for name in ("on", "state", "still")]
    with restoring(settings) as notes:
        held.on, held.state = True, [2]
    assert notes == ["the on, from False to True", "the state"]
    assert held == SimpleNamespace(on=False, state=[1], still=3)


def test_it_is_put_back_after_an_error():
    held = SimpleNamespace(on=False)
    setting = Setting("it", lambda: held.on, lambda value: setattr(held, "on", value))
    told = []

    def fail():
        with restoring([setting]) as notes:
            told.append(notes)
            held.on = True
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not held.on
    assert told == [["it, from False to True"]]


def test_reading_and_writing_the_shared_settings_changes_none():
    before = {setting.what: setting.read() for setting in shared_settings()}
    for setting in shared_settings():
        if "PIL" not in setting.what:
            setting.write(before[setting.what])
    assert {setting.what: setting.read() for setting in shared_settings()} == before
    with torch.device("meta"):
        assert {setting.what: setting.read() for setting in shared_settings()} == before
