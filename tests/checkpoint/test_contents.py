"""Tensors in several files are held to the same as tensors in one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from saved_toys import fingerprint, fingerprints, reseal, toy_model
from toys import toy_catalog

import fusionkit as fk
from fusionkit.checkpoint import contents as contents_module
from fusionkit.checkpoint.contents import INDEX, TENSORS
from fusionkit.saved.manifest import MANIFEST, read_manifest
from fusionkit.tensors.source import open_source

LIMIT = 2000


def load(folder: Path) -> fk.FusedModel:
    return fk.load(folder, catalog=toy_catalog())


@pytest.fixture
def model() -> fk.FusedModel:
    return toy_model()


@pytest.fixture
def pets(model: fk.FusedModel, tmp_path: Path) -> Path:
    return fk.save(model, tmp_path / "pets", max_shard_size=LIMIT)


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("model-*.safetensors"))


def test_p6_it_comes_back_bit_for_bit(model: fk.FusedModel, pets: Path) -> None:
    assert len(shards(pets)) > 5
    assert not (pets / TENSORS).exists()
    assert fingerprints(load(pets)) == fingerprints(model)


def test_no_file_is_larger_than_was_allowed_unless_it_holds_one_tensor(pets: Path) -> None:
    for path, header in open_source(pets).files.items():
        size = sum(entry.end - entry.start for entry in header.tensors.values())
        assert size <= LIMIT or len(header.tensors) == 1, path


def test_the_layout_is_that_of_the_hub(model: fk.FusedModel, pets: Path) -> None:
    from huggingface_hub import split_torch_state_dict_into_shards

    state = model.state_dict()
    theirs = split_torch_state_dict_into_shards(state, max_shard_size=LIMIT)
    ours = json.loads((pets / INDEX).read_text())
    assert ours["metadata"] == {"total_size": theirs.metadata["total_size"]}
    assert set(ours["weight_map"]) == set(state)
    assert sorted(set(ours["weight_map"].values())) == [path.name for path in shards(pets)]
    read = open_source(pets).read()
    assert {name: fingerprint(value) for name, value in read.items()} == {
        name: fingerprint(value) for name, value in state.items()
    }


def test_the_manifest_lists_every_file(pets: Path) -> None:
    files = {path.name for path in pets.iterdir()} - {MANIFEST, "README.md"}
    assert set(read_manifest(pets)) == files
    assert json.loads((pets / MANIFEST).read_text())["format"] == 2


def test_what_fits_in_one_file_is_one_file_of_the_first_format(
    model: fk.FusedModel, tmp_path: Path
) -> None:
    folder = fk.save(model, tmp_path / "pets", max_shard_size="5GB")
    assert (folder / TENSORS).exists()
    assert not (folder / INDEX).exists()
    assert json.loads((folder / MANIFEST).read_text())["format"] == 1


def test_shards_and_one_file_replace_each_other(model: fk.FusedModel, pets: Path) -> None:
    fk.save(model, pets)
    assert not shards(pets)
    assert not (pets / INDEX).exists()
    fk.save(model, pets, max_shard_size=LIMIT)
    assert not (pets / TENSORS).exists()
    assert fingerprints(load(pets)) == fingerprints(model)


def test_a_size_that_is_none_is_refused_before_anything_is_done(
    model: fk.FusedModel, tmp_path: Path
) -> None:
    with pytest.raises(fk.ConfigError, match="max_shard_size is a number of bytes"):
        fk.save(model, tmp_path / "new" / "pets", max_shard_size="5 gigabytes")
    assert not list(tmp_path.iterdir())


def test_no_more_than_a_shard_is_copied_at_a_time(
    model: fk.FusedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    real = contents_module.write_tensors

    def listen(path: Path, tensors: dict[str, torch.Tensor]) -> str:
        written.append(sum(value.nbytes for value in tensors.values()))
        return real(path, tensors)

    monkeypatch.setattr(contents_module, "write_tensors", listen)
    fk.save(model, tmp_path / "pets", max_shard_size=LIMIT)
    largest = max(value.nbytes for value in model.state_dict().values())
    assert max(written) <= max(LIMIT, largest)


class TestDamage:
    def test_p10_a_flipped_bit_in_any_file_is_refused(self, pets: Path) -> None:
        for name in read_manifest(pets):
            whole = (pets / name).read_bytes()
            for place in range(0, len(whole), max(1, len(whole) // 12)):
                mutated = bytearray(whole)
                mutated[place] ^= 1 << place % 8
                (pets / name).write_bytes(mutated)
                with pytest.raises(fk.CheckpointError, match=f"{name} has changed"):
                    load(pets)
            (pets / name).write_bytes(whole)
        load(pets)

    def test_f027_a_missing_or_cut_file_is_refused(self, pets: Path) -> None:
        for name in read_manifest(pets):
            whole = (pets / name).read_bytes()
            (pets / name).unlink()
            with pytest.raises(fk.CheckpointError, match=f"{name} is missing"):
                load(pets)
            (pets / name).write_bytes(whole[:-1])
            with pytest.raises(fk.CheckpointError, match=f"{name} has changed"):
                load(pets)
            (pets / name).write_bytes(whole)
        load(pets)

    def test_f041_two_shards_that_changed_places_are_refused(self, pets: Path) -> None:
        first, second = shards(pets)[:2]
        first.rename(pets / "aside")
        second.rename(first)
        (pets / "aside").rename(second)
        with pytest.raises(fk.CheckpointError, match=f"{first.name} has changed"):
            load(pets)
        reseal(pets)
        with pytest.raises(fk.CheckpointError, match="in another place than the shards"):
            load(pets)

    def test_f041_a_shard_of_another_save_is_refused(self, pets: Path, tmp_path: Path) -> None:
        other = fk.save(toy_model(epoch=5), tmp_path / "other", max_shard_size=LIMIT)
        name = shards(pets)[0].name
        shutil.copy(other / name, pets / name)
        with pytest.raises(fk.CheckpointError, match=f"{name} has changed"):
            load(pets)

    def test_f040_a_link_in_place_of_a_shard_is_refused(self, pets: Path, tmp_path: Path) -> None:
        shard = shards(pets)[0]
        shard.rename(tmp_path / "elsewhere")
        shard.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(fk.CheckpointError, match=f"{shard.name} is missing"):
            load(pets)

    @pytest.mark.parametrize(
        ("change", "cause"),
        [
            (lambda index: index["weight_map"].popitem(), "in another place than the shards"),
            (lambda index: index["weight_map"].update(more=TENSORS), "in another place than the"),
            (lambda index: index.clear(), "has no 'weight_map'"),
            (lambda index: index["weight_map"].update(more=1), "place of 'more' is no file name"),
        ],
    )
    def test_f041_an_index_that_lies_is_refused(
        self, pets: Path, change: Callable[[dict[str, Any]], object], cause: str
    ) -> None:
        index = json.loads((pets / INDEX).read_text())
        change(index)
        (pets / INDEX).write_text(json.dumps(index))
        reseal(pets)
        with pytest.raises(fk.CheckpointError, match=cause):
            load(pets)

    def test_f041_a_tensor_in_two_shards_is_refused(self, pets: Path) -> None:
        first, second = shards(pets)[:2]
        shutil.copy(first, second)
        reseal(pets)
        with pytest.raises(fk.CheckpointError, match="stands in two shards"):
            load(pets)

    def test_f041_both_forms_at_once_are_refused(self, pets: Path) -> None:
        shutil.copy(shards(pets)[0], pets / TENSORS)
        reseal(pets)
        with pytest.raises(fk.CheckpointError, match=r"the manifest lists .* with its shards"):
            load(pets)


class TestVerify:
    @pytest.mark.parametrize("limit", [None, LIMIT])
    def test_a_right_save_is_put_in_place(
        self, model: fk.FusedModel, tmp_path: Path, limit: int | None
    ) -> None:
        model.to(memory_format=torch.channels_last)
        model.branches["rgb"].to(torch.bfloat16)
        folder = fk.save(model, tmp_path / "pets", max_shard_size=limit, verify=True)
        assert fingerprints(load(folder)) == fingerprints(model)

    @pytest.mark.parametrize("limit", [None, LIMIT])
    def test_f053_a_wrong_save_is_noticed_and_the_old_one_kept(
        self,
        model: fk.FusedModel,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        limit: int | None,
    ) -> None:
        folder = fk.save(model, tmp_path / "pets")
        real = contents_module.write_tensors

        def sabotage(path: Path, tensors: dict[str, torch.Tensor]) -> str:
            wrong = {
                name: value + 1 if name == "head.out.rgb.bias" else value
                for name, value in tensors.items()
            }
            return real(path, wrong)

        monkeypatch.setattr(contents_module, "write_tensors", sabotage)
        with pytest.raises(fk.CheckpointError, match=r"'head\.out\.rgb\.bias' did not come back"):
            fk.save(toy_model(5), folder, verify=True, max_shard_size=limit)
        assert load(folder).epoch == 3
        fk.save(toy_model(5), folder, max_shard_size=limit)
        assert load(folder).epoch == 5
