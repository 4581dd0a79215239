"""Layouts on disk: read once, written whole, never trusted when damaged."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

import fusionkit as fk
from fusionkit.checkpoint.matching import cache
from fusionkit.checkpoint.matching.cache import cache_folder, cached_layout


@pytest.fixture
def entry(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = fk.Catalog.installed().backbone("timm/test_resnet")
    asked = []

    def factory():
        raise AssertionError

    def layout():
        asked.append(1)
        return found.factory.layout()

    factory.layout, factory.asked = layout, asked
    return replace(found, factory=factory)


def files(tmp_path):
    return [file for file in tmp_path.rglob("*") if file.is_file()]


def test_a_second_look_is_from_the_disk(entry, tmp_path):
    assert cached_layout(entry) == cached_layout(entry)
    assert len(entry.factory.asked) == 1
    (file,) = files(tmp_path)
    assert cache_folder() in file.parents


@pytest.mark.parametrize("place", ["start", "shape", "end", "empty", "other"])
def test_a_damaged_file_is_written_anew(entry, tmp_path, place):
    first = cached_layout(entry)
    (file,) = files(tmp_path)
    text = file.read_text()
    damaged = {
        "start": "[" + text,
        "shape": text.replace("3, 3]", "3, 5]", 1),
        "end": text[:-3],
        "empty": "",
        "other": text.replace("timm/test_resnet", "timm/test_resnot"),
    }
    assert damaged[place] != text
    file.write_text(damaged[place])
    assert cached_layout(entry) == first
    assert len(entry.factory.asked) == 2
    assert file.read_text() == text


def test_other_versions_are_looked_at_again(entry, monkeypatch):
    cached_layout(entry)
    versions = cache._versions
    monkeypatch.setattr(cache, "_versions", lambda name: versions(name) + "timm 99")
    cached_layout(entry)
    assert len(entry.factory.asked) == 2
    assert "timm 1." in versions("torch-fusionkit")


def test_a_place_that_cannot_be_written_is_no_error(entry, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert cached_layout(entry) == cached_layout(entry)
    assert len(entry.factory.asked) == 2


def test_a_plugin_given_in_python_is_not_kept(entry, tmp_path):
    cached_layout(replace(entry, distribution=None))
    assert files(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="macOS and Windows have places of their own")
def test_without_a_variable_it_is_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "fusionkit" / "layouts"
