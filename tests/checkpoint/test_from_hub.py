"""A model comes from the hub whole, of one commit, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hub_server import GATED, PRIVATE, HubServer
from saved_toys import fingerprints, toy_model
from toys import toy_catalog

import fusionkit as fk

NAME = "somebody/pets"


def fetch(name: str = NAME, **asked: object) -> fk.FusedModel:
    return fk.from_pretrained(name, catalog=toy_catalog(), **asked)  # type: ignore[arg-type]


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return fk.save(toy_model(), tmp_path / "saved", max_shard_size=3000)


def test_it_is_the_model_that_was_saved(hub: HubServer, saved: Path) -> None:
    hub.add(NAME, files_of(saved))
    assert fingerprints(fetch()) == fingerprints(toy_model())


def test_where_to_and_in_which_type(hub: HubServer, saved: Path) -> None:
    hub.add(NAME, files_of(saved))
    with pytest.raises(fk.ConfigError, match="dtype"):
        fetch(dtype=torch.int64)
    assert not hub.requests
    for name in (NAME, saved):
        model = fk.from_pretrained(
            name, catalog=toy_catalog(), device=torch.device("cpu"), dtype=torch.bfloat16
        )
        assert {value.dtype for value in model.parameters()} == {torch.bfloat16}


def test_only_what_the_manifest_lists_is_downloaded_and_only_once(
    hub: HubServer, saved: Path
) -> None:
    hub.add(NAME, {**files_of(saved), "evil.py": b"1/0", "optimizer.pt": b"x" * 1000})
    fetch()
    got = {line.rpartition("/")[2] for line in hub.requests if line.startswith("GET")}
    assert got == set(files_of(saved)) - {"README.md"}
    hub.requests.clear()
    fetch()
    assert not [line for line in hub.requests if line.startswith("GET")]


def test_a_revision_is_a_branch_a_tag_or_a_commit(hub: HubServer, tmp_path: Path) -> None:
    commits = {}
    for epoch, branch in ((3, "main"), (5, "v2")):
        folder = fk.save(toy_model(epoch), tmp_path / branch)
        commits[epoch] = hub.add(NAME, files_of(folder), branch)
    assert fetch().epoch == 3
    assert fetch(revision="v2").epoch == 5
    assert fetch(revision=commits[3]).epoch == 3


def test_a_push_in_the_middle_does_not_mix_two_models(
    hub: HubServer, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fusionkit.checkpoint import from_hub as from_hub_module

    hub.add(NAME, files_of(saved))
    newer = files_of(fk.save(toy_model(5), tmp_path / "newer", max_shard_size=3000))
    real = from_hub_module.read_manifest

    def push_now(folder: Path) -> dict[str, str]:
        hub.add(NAME, newer)
        return real(folder)

    monkeypatch.setattr(from_hub_module, "read_manifest", push_now)
    assert fetch().epoch == 3
    assert fetch().epoch == 5


def test_what_was_fetched_is_there_without_a_network(hub: HubServer, saved: Path) -> None:
    hub.add(NAME, files_of(saved))
    fetch()
    hub.is_down = True
    assert fingerprints(fetch()) == fingerprints(toy_model())


def test_a_download_that_breaks_half_way_leaves_nothing_that_is_loaded(
    hub: HubServer, saved: Path, tmp_path: Path
) -> None:
    hub.add(NAME, files_of(saved))
    hub.cut = sorted(saved.glob("model-*"))[2].name
    with pytest.raises(fk.CheckpointError, match="hf-hub:somebody/pets: no network, or the hub"):
        fetch()
    (snapshot,) = (tmp_path / "hub-cache").glob("*/snapshots/*")
    with pytest.raises(fk.CheckpointError, match=f"{hub.cut} is missing; fetch it, or save"):
        fk.load(snapshot, catalog=toy_catalog())
    hub.is_down = True
    with pytest.raises(fk.CheckpointError, match="no network, or the hub does not answer"):
        fetch()
    hub.is_down, hub.cut = False, None
    assert fingerprints(fetch()) == fingerprints(toy_model())


def test_p10_a_changed_byte_on_the_hub_or_in_the_cache_is_refused(
    hub: HubServer, saved: Path, tmp_path: Path
) -> None:
    shard = sorted(saved.glob("model-*"))[1].name
    files = files_of(saved)
    hub.add(NAME, {**files, shard: files[shard][:-1] + b"\x01"})
    with pytest.raises(fk.CheckpointError, match=f"{shard} has changed since it was saved"):
        fetch()
    hub.add(NAME, files)
    fetch()
    for blob in (tmp_path / "hub-cache").glob("*/blobs/*"):
        if blob.read_bytes() == files[shard]:
            blob.write_bytes(files[shard][:-1] + b"\x01")
    with pytest.raises(fk.CheckpointError, match=f"{shard} has changed since it was saved"):
        fetch()


def test_f040_a_link_of_the_cache_that_leads_elsewhere_is_refused(
    hub: HubServer, saved: Path, tmp_path: Path
) -> None:
    hub.add(NAME, files_of(saved))
    fetch()
    (snapshot,) = (tmp_path / "hub-cache").glob("*/snapshots/*")
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to(saved / "config.json")
    with pytest.raises(fk.CheckpointError, match=r"config\.json is missing"):
        fk.load(snapshot, catalog=toy_catalog())


class TestRefused:
    def test_no_repository(self, hub: HubServer) -> None:
        with pytest.raises(fk.CheckpointError, match="no repository 'somebody/cats' that you may"):
            fetch("somebody/cats")

    def test_a_private_one_needs_a_token(self, hub: HubServer, saved: Path) -> None:
        hub.add(PRIVATE, files_of(saved))
        with pytest.raises(fk.CheckpointError, match="run `hf auth login` if it is private"):
            fetch(PRIVATE)
        assert fetch(PRIVATE, token="hf_writer").epoch == 3

    def test_a_gated_one(self, hub: HubServer, saved: Path) -> None:
        hub.add(GATED, files_of(saved))
        with pytest.raises(fk.CheckpointError, match="only to who has agreed to its licence"):
            fetch(GATED)

    def test_no_revision(self, hub: HubServer, saved: Path) -> None:
        hub.add(NAME, files_of(saved))
        with pytest.raises(
            fk.CheckpointError, match="pets@v9: the repository has no such branch, tag or commit"
        ):
            fetch(revision="v9")

    def test_a_repository_of_something_else(self, hub: HubServer) -> None:
        hub.add(NAME, {"config.json": b"{}", "model.safetensors": b"x"})
        with pytest.raises(fk.CheckpointError) as caught:
            fetch()
        assert "somebody/pets on the hub is no whole fusionkit model" in str(caught.value)
        assert "write Weights('hf-hub:somebody/pets')" in str(caught.value)
        assert not [line for line in hub.requests if "safetensors" in line]

    def test_a_file_that_the_manifest_lists_is_not_there(self, hub: HubServer, saved: Path) -> None:
        files = files_of(saved)
        del files["config.json"]
        hub.add(NAME, files)
        with pytest.raises(fk.CheckpointError, match=r"no whole fusionkit model \(.*config\.json"):
            fetch()

    def test_f040_a_manifest_that_leads_out_of_the_folder(self, hub: HubServer) -> None:
        hub.add(NAME, {"manifest.json": b'{"files": {"../x": "0"}, "self": ""}'})
        with pytest.raises(fk.CheckpointError, match=r"manifest\.json has changed since"):
            fetch()
        assert len([line for line in hub.requests if line.startswith("GET")]) == 1

    def test_no_network(self, hub: HubServer) -> None:
        hub.is_down = True
        with pytest.raises(fk.CheckpointError) as caught:
            fetch()
        assert "hf-hub:somebody/pets: no network, or the hub does not answer" in str(caught.value)
        assert "where there is no network, give a folder" in str(caught.value)


class TestSpelling:
    def test_a_folder_goes_before_the_hub(
        self, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "somebody").mkdir()
        saved.rename(tmp_path / "somebody" / "pets")
        assert fetch().epoch == 3
        assert fetch(Path("somebody/pets")).epoch == 3  # type: ignore[arg-type]

    def test_a_path_that_is_not_there_is_not_asked_for(self, tmp_path: Path) -> None:
        with pytest.raises(fk.CheckpointError, match="there is no folder"):
            fetch(str(tmp_path / "pets"))
        with pytest.raises(fk.CheckpointError, match="there is no folder"):
            fetch(Path("somebody/pets"))  # type: ignore[arg-type]

    def test_a_folder_has_no_revision(self, saved: Path) -> None:
        with pytest.raises(fk.ConfigError, match="is a folder, which has no revision 'v1'"):
            fetch(str(saved), revision="v1")

    @pytest.mark.parametrize(
        ("written", "meant"),
        [
            ("hf-hub:somebody/pets", r"from_pretrained\('somebody/pets'\)"),
            ("hf-hub:somebody/pets@v1", r"from_pretrained\('somebody/pets', revision='v1'\)"),
            ("somebody/pets@v1", r"from_pretrained\('somebody/pets', revision='v1'\)"),
        ],
    )
    def test_there_is_one_way_to_write_it(self, written: str, meant: str) -> None:
        with pytest.raises(fk.ConfigError, match=f"write {meant}, not '{written}'"):
            fetch(written)
        with pytest.raises(fk.CheckpointError, match=meant):
            fk.load(written)
