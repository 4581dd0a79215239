"""A card that somebody edited is neither read by load nor lost by save."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from saved_toys import fingerprints, toy_model
from toys import toy_catalog

import fusionkit as fk
from fusionkit.checkpoint import save as save_module

MINE = fk.ModelCard(license="mit")


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return fk.save(toy_model(), tmp_path / "pets")


@pytest.fixture
def card(pets: Path) -> Path:
    return pets / "README.md"


@pytest.mark.parametrize("edit", ["edited", "gone", "link", "folder"])
def test_load_does_not_read_it(pets: Path, card: Path, edit: str) -> None:
    card.unlink()
    if edit == "edited":
        card.write_bytes(b"\xff mine")
    elif edit == "link":
        card.symlink_to("/etc/hostname")
    elif edit == "folder":
        card.mkdir()
    assert fingerprints(fk.load(pets, catalog=toy_catalog())) == fingerprints(toy_model())


def test_one_that_nobody_edited_is_written_anew(pets: Path, card: Path) -> None:
    fk.save(toy_model(5), pets)
    assert "at epoch 5." in card.read_text()
    fk.save(toy_model(5), pets, card=MINE)
    assert "license: mit\n" in card.read_text()
    fk.save(toy_model(5), pets)
    assert "license: mit\n" not in card.read_text()


def test_an_edited_one_is_kept_through_any_number_of_saves(pets: Path, card: Path) -> None:
    card.write_text("# Mine\n")
    for epoch in (5, 6, 7):
        fk.save(toy_model(epoch), pets)
        assert card.read_text() == "# Mine\n"
        assert fk.load(pets, catalog=toy_catalog()).epoch == epoch


def test_an_edited_one_is_not_replaced_by_another_card_and_that_is_found_before_any_work(
    pets: Path, card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card.write_text("# Mine\n")
    monkeypatch.setattr(save_module, "_tensors", None)
    with pytest.raises(fk.CheckpointError, match=r"README\.md was edited since it was saved, and"):
        fk.save(toy_model(5), pets, card=MINE)
    assert card.read_text() == "# Mine\n"
    monkeypatch.undo()
    card.unlink()
    fk.save(toy_model(5), pets, card=MINE)
    assert "license: mit\n" in card.read_text()


def test_one_that_no_save_wrote_keeps_its_folder(tmp_path: Path) -> None:
    shutil.copytree(Path(__file__).parent / "format_1", tmp_path / "old")
    (tmp_path / "old" / "README.md").write_text("# Mine\n")
    for given in (None, MINE):
        with pytest.raises(fk.CheckpointError, match=r"holds 'README\.md', which no save wrote"):
            fk.save(toy_model(), tmp_path / "old", card=given)


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_what_is_no_file_in_its_place_keeps_its_folder(pets: Path, card: Path, kind: str) -> None:
    card.unlink()
    if kind == "link":
        card.symlink_to("/etc/hostname")
    else:
        card.mkdir()
    with pytest.raises(fk.CheckpointError, match=r"holds 'README\.md', which no save wrote"):
        fk.save(toy_model(5), pets)
