"""The manifest answers for every file, and for itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import fusionkit as fk
from fusionkit.saved import manifest as manifest_module
from fusionkit.saved.manifest import MANIFEST, read_editable, read_manifest, write_manifest

SUM = "0" * 64


def rewrite(folder: Path, **changes: Any) -> None:
    """Changes a manifest as somebody would who knows how its own checksum is made."""
    data = json.loads((folder / MANIFEST).read_text())
    data.update(changes)
    del data["self"]
    data["self"] = manifest_module._digest(data)
    (folder / MANIFEST).write_text(json.dumps(data))


def test_it_comes_back(tmp_path: Path) -> None:
    files = {"config.json": SUM, "model.safetensors": "1" * 64}
    write_manifest(tmp_path, files)
    assert read_manifest(tmp_path) == files
    assert json.loads((tmp_path / MANIFEST).read_text())["fusionkit"] == fk.__version__


def test_f028_a_flipped_bit_in_any_byte_is_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path, {"config.json": SUM})
    path = tmp_path / MANIFEST
    whole = path.read_bytes()
    meaning = json.loads(whole)
    refused = 0
    for place in range(len(whole)):
        mutated = bytearray(whole)
        mutated[place] ^= 1 << place % 8
        path.write_bytes(mutated)
        try:
            files = read_manifest(tmp_path)
        except fk.CheckpointError:
            refused += 1
        else:  # a space that became another white space
            assert files == {"config.json": SUM}
            assert json.loads(mutated) == meaning
    assert refused > 0.95 * len(whole)


def test_a_folder_without_one_is_no_saved_model(tmp_path: Path) -> None:
    with pytest.raises(fk.CheckpointError, match="is not a saved fusionkit model: it has no mani"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "is damaged"),
        ("{", "is damaged"),
        ("[]", "is not the manifest of a saved fusionkit model"),
        ('{"name": "my-extension", "version": "1"}', "is not the manifest of a saved"),
        ('{"files": [], "self": ""}', "is not the manifest of a saved"),
        ('{"files": {}, "self": ""}', "has changed since it was saved"),
        ('{"files": {}, "files": {}, "self": ""}', "stands twice"),
    ],
)
def test_what_is_none_is_refused(tmp_path: Path, text: str, cause: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(fk.CheckpointError, match=cause):
        read_manifest(tmp_path)


def test_a_later_format_is_refused_with_both_versions(tmp_path: Path) -> None:
    write_manifest(tmp_path, {})
    rewrite(tmp_path, format=3, fusionkit="7.5.0")
    with pytest.raises(fk.CheckpointError) as caught:
        read_manifest(tmp_path)
    message = str(caught.value)
    assert "was saved by fusionkit 7.5.0 in format 3" in message
    assert f"this is fusionkit {fk.__version__}, which reads formats up to 2" in message
    assert "pip install --upgrade torch-fusionkit" in message


@pytest.mark.parametrize("version", [0, -1, True, "1", None, 1.0])
def test_a_format_that_was_never_written_is_refused(tmp_path: Path, version: object) -> None:
    write_manifest(tmp_path, {})
    rewrite(tmp_path, format=version)
    with pytest.raises(fk.CheckpointError, match="which no fusionkit writes"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "name",
    ["../x", "/etc/passwd", "a/b", "..", ".", "", "a\0b", "a\nb", "C:\\x", "..\\x", "/dev/zero"],
)
def test_f040_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    write_manifest(tmp_path, {})
    rewrite(tmp_path, files={name: SUM})
    with pytest.raises(fk.CheckpointError, match="is not the name of a file in this folder"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("checksum", [None, 1, "", "0" * 63, "G" * 64, ["0" * 64]])
def test_a_checksum_that_is_none_is_refused(tmp_path: Path, checksum: object) -> None:
    write_manifest(tmp_path, {})
    rewrite(tmp_path, files={"config.json": checksum})
    with pytest.raises(fk.CheckpointError, match=r"'config\.json' has no checksum"):
        read_manifest(tmp_path)


def test_what_people_may_edit_is_listed_by_itself(tmp_path: Path) -> None:
    write_manifest(tmp_path, {"config.json": SUM, "README.md": "1" * 64})
    assert read_manifest(tmp_path) == {"config.json": SUM}
    assert read_editable(tmp_path) == {"README.md": "1" * 64}


def test_a_manifest_of_before_there_was_such_a_list_has_none(tmp_path: Path) -> None:
    write_manifest(tmp_path, {"config.json": SUM})
    assert "editable" not in json.loads((tmp_path / MANIFEST).read_text())
    assert read_editable(tmp_path) == {}


@pytest.mark.parametrize(
    "editable", [["README.md"], {"photo.jpg": SUM}, {"config.json": SUM}, None]
)
def test_nothing_else_may_be_edited(tmp_path: Path, editable: object) -> None:
    write_manifest(tmp_path, {"config.json": SUM})
    rewrite(tmp_path, editable=editable)
    with pytest.raises(fk.CheckpointError, match="is not what may be edited in this folder"):
        read_manifest(tmp_path)


def test_only_a_folder_with_shards_is_of_the_second_format(tmp_path: Path) -> None:
    for name, version in (("model.safetensors", 1), ("model-00001-of-00002.safetensors", 2)):
        (tmp_path / MANIFEST).unlink(missing_ok=True)
        write_manifest(tmp_path, {name: SUM})
        assert json.loads((tmp_path / MANIFEST).read_text())["format"] == version
