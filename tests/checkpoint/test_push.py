"""A push is one commit with all of a saved model, or nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_server import HubServer
from saved_toys import fingerprints, toy_model
from toys import toy_catalog

import fusionkit as fk

NAME = "somebody/pets"

# huggingface_hub 2.4 uploads in a way that its own httpx2 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


def push(model: Any, name: str = NAME, **asked: Any) -> str:
    return fk.push_to_hub(model, name, token="hf_writer", **asked)


def fetch(**asked: Any) -> fk.FusedModel:
    return fk.from_pretrained(NAME, catalog=toy_catalog(), **asked)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return fk.save(toy_model(), tmp_path / "saved", max_shard_size=3000)


def test_a_model_comes_back_bit_for_bit(hub: HubServer) -> None:
    address = push(toy_model())
    assert address == f"{hub.address}/{NAME}/commit/{hub.branches[NAME]['main']}"
    assert fingerprints(fetch()) == fingerprints(toy_model())
    card = hub.files(NAME)["README.md"].decode()
    assert "fk.from_pretrained('somebody/pets', catalog=catalog)" in card


def test_a_folder_is_uploaded_as_it_is_and_large_files_as_such(hub: HubServer, saved: Path) -> None:
    (saved / "README.md").write_text("---\nlicense: mit\n---\n\n# Mine\n")
    push(saved, commit_message="The first")
    files = hub.files(NAME)
    assert files.pop(".gitattributes")
    assert files == {path.name: path.read_bytes() for path in saved.iterdir()}
    assert hub.messages[-1] == "The first"
    assert set(hub.objects.values()) == {path.read_bytes() for path in saved.glob("model-*")}
    assert fingerprints(fetch()) == fingerprints(toy_model())


def test_all_is_one_commit_and_what_an_earlier_push_wrote_is_removed(
    hub: HubServer, saved: Path
) -> None:
    push(saved)
    hub.add(NAME, {**hub.files(NAME), "notes.txt": b"mine", "other.safetensors": b"mine"})
    before = len(hub.messages)
    push(toy_model(5))
    assert len(hub.messages) == before + 1
    assert set(hub.files(NAME)) == {
        ".gitattributes",
        "README.md",
        "config.json",
        "manifest.json",
        "model.safetensors",
        "notes.txt",
        "other.safetensors",
    }
    assert fetch().epoch == 5


@pytest.mark.parametrize("private", [None, True, False])
def test_a_new_repository_is_private_where_asked(hub: HubServer, private: bool | None) -> None:
    push(toy_model(), private=private)
    (asked,) = hub.made
    said = {None: None, True: "private", False: "public"}[private]
    assert asked.get("visibility", said if asked.get("private") == private else "") == said


def test_a_branch_is_made_where_there_is_none(hub: HubServer) -> None:
    push(toy_model(3))
    for epoch in (5, 6):
        push(toy_model(epoch), revision="tuned")
        assert fetch(revision="tuned").epoch == epoch
        assert fetch().epoch == 3


class TestRefused:
    def test_without_a_token(self, hub: HubServer, saved: Path) -> None:
        with pytest.raises(fk.CheckpointError) as caught:
            fk.push_to_hub(saved, NAME, token=False)
        assert (
            "nothing was pushed to somebody/pets: hf-hub:somebody/pets: the hub does not know"
            in str(caught.value)
        )
        assert "run `hf auth login`, or give a token" in str(caught.value)

    @pytest.mark.parametrize("exists", [False, True])
    def test_to_a_repository_of_others(self, hub: HubServer, saved: Path, exists: bool) -> None:
        if exists:
            hub.add("else/pets", {})
        with pytest.raises(fk.CheckpointError, match="the hub does not allow you that; look at"):
            push(saved, "else/pets")

    def test_without_a_network(self, hub: HubServer, saved: Path) -> None:
        hub.is_down = True
        with pytest.raises(fk.CheckpointError, match="no network, or the hub does not answer"):
            push(saved)

    def test_an_upload_that_breaks_half_way_leaves_what_was_there(
        self, hub: HubServer, saved: Path
    ) -> None:
        push(toy_model(5))
        hub.refuse_upload = True
        with pytest.raises(fk.CheckpointError, match="nothing was pushed to somebody/pets"):
            push(saved)
        assert fetch().epoch == 5

    def test_a_card_that_the_hub_does_not_take(self, hub: HubServer, saved: Path) -> None:
        (saved / "README.md").write_text("---\n- no\n- mapping\n---\n")
        with pytest.raises(fk.CheckpointError, match=r"pets: Invalid metadata in README\.md"):
            push(saved)
        assert set(hub.files(NAME)) == {".gitattributes"}

    def test_p10_a_folder_that_has_changed(self, hub: HubServer, saved: Path) -> None:
        for path in sorted(saved.iterdir()):
            whole = path.read_bytes()
            if path.name == "README.md":
                continue
            path.write_bytes(whole.replace(b"0", b"1", 1))
            with pytest.raises(fk.CheckpointError, match=f"{path.name} has changed since it was"):
                push(saved)
            path.unlink()
            with pytest.raises(fk.CheckpointError, match=f"{path.name}"):
                push(saved)
            path.write_bytes(whole)
        assert not hub.requests
        push(saved)

    def test_what_is_no_saved_model(self, hub: HubServer, tmp_path: Path) -> None:
        with pytest.raises(fk.CheckpointError, match="is not a saved fusionkit model"):
            push(tmp_path)
        with pytest.raises(fk.CheckpointError, match="save takes a FusedModel"):
            push(torch.nn.Linear(1, 1))
        assert not hub.requests

    @pytest.mark.parametrize("name", ["pets", "a/b/c", "hf-hub:a/b", "a/b@v1", ""])
    def test_what_is_no_name(self, hub: HubServer, saved: Path, name: str) -> None:
        with pytest.raises(fk.ConfigError, match="push_to_hub takes 'owner/name' as the name"):
            push(saved, name)


def test_a_card_on_the_hub_names_what_the_model_is_made_of(hub: HubServer) -> None:
    push(toy_model())
    manifest = json.loads(hub.files(NAME)["manifest.json"])
    assert set(manifest["editable"]) == {"README.md"}
