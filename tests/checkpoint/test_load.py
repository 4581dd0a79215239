"""What was saved comes back to the bit, and nothing else comes back at all."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from saved_toys import (
    INPUTS,
    catalog_with,
    fingerprint,
    fingerprints,
    plain_tiny,
    reseal,
    rewrite,
    toy_model,
)
from torch import nn
from toys import SumHead, TinyNet, ToyPlugin, toy_catalog

import fusionkit as fk
from fusionkit.checkpoint import contents as contents_module
from fusionkit.saved.manifest import MANIFEST

FILES = ("config.json", "manifest.json", "model.safetensors")


@pytest.fixture(scope="module")
def model() -> fk.FusedModel:
    return toy_model()


@pytest.fixture(scope="module")
def original(model: fk.FusedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fk.save(model, tmp_path_factory.mktemp("saved") / "pets")


@pytest.fixture
def pets(original: Path, tmp_path: Path) -> Path:
    """Gives a copy of a saved folder, to be spoilt."""
    return Path(shutil.copytree(original, tmp_path / "pets"))


def load(folder: Path | str) -> fk.FusedModel:
    return fk.load(folder, catalog=toy_catalog())


def refusal(folder: Path) -> fk.FusionKitError | None:
    """Gives the error with which a folder is refused; any other error goes through."""
    try:
        load(folder)
    except fk.FusionKitError as error:
        return error
    return None


class TestSameAgain:
    def test_p6_every_tensor_has_the_hash_that_it_had_in_the_file(self, pets: Path) -> None:
        from safetensors.torch import load_file

        again = load(pets).state_dict()
        file = load_file(pets / "model.safetensors")
        assert {n: fingerprint(v) for n, v in again.items()} == {
            n: fingerprint(v) for n, v in file.items()
        }

    def test_p6_another_seed_gives_the_same_model(self, model: fk.FusedModel, pets: Path) -> None:
        with torch.no_grad():
            expected = model(INPUTS)
        for seed in (1, 2):
            torch.manual_seed(seed)
            again = load(str(pets))
            assert fingerprints(again) == fingerprints(model)
            with torch.no_grad():
                assert torch.equal(again(INPUTS), expected)

    def test_epoch_freezing_recipe_and_summary_are_those_that_were_saved(
        self, model: fk.FusedModel, pets: Path
    ) -> None:
        again = load(pets)
        wants = {name: value.requires_grad for name, value in model.named_parameters()}
        assert len(set(wants.values())) == 2
        assert {name: value.requires_grad for name, value in again.named_parameters()} == wants
        assert again.epoch == model.epoch == 3
        assert again.recipe == model.recipe
        assert str(again.summary()) == str(model.summary())
        assert not any(part.training for part in again.modules())

    def test_training_goes_on_where_it_was(self, model: fk.FusedModel, pets: Path) -> None:
        again = load(pets)
        outputs = []
        for one in (toy_model(), again):
            one.train().set_epoch(4)
            optimizer = torch.optim.SGD(one.param_groups(lr=0.1))
            torch.manual_seed(9)
            one(INPUTS).square().sum().backward()
            optimizer.step()
            outputs.append(fingerprints(one))
        assert outputs[0] == outputs[1]

    def test_p9_branches_in_another_order_in_the_file_are_the_same_model(
        self, model: fk.FusedModel, pets: Path
    ) -> None:
        def turn(config: dict[str, Any]) -> None:
            branches = config["recipe"]["branches"]
            config["recipe"]["branches"] = dict(reversed(branches.items()))

        before = list(json.loads((pets / "config.json").read_text())["recipe"]["branches"])
        rewrite(pets, turn)
        after = list(json.loads((pets / "config.json").read_text())["recipe"]["branches"])
        assert before == after[::-1]
        with torch.no_grad():
            assert torch.equal(load(pets)(INPUTS), model(INPUTS))

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    def test_another_type_comes_back_as_it_was(self, tmp_path: Path, dtype: torch.dtype) -> None:
        model = toy_model().to(dtype)
        assert fingerprints(load(fk.save(model, tmp_path / "x"))) == fingerprints(model)

    def test_types_that_differ_between_branches_come_back(self, tmp_path: Path) -> None:
        model = toy_model()
        model.branches["rgb"].to(torch.bfloat16)
        assert fingerprints(load(fk.save(model, tmp_path / "x"))) == fingerprints(model)

    def test_another_default_type_does_not_reach_the_model(
        self, model: fk.FusedModel, pets: Path
    ) -> None:
        torch.set_default_dtype(torch.float64)
        try:
            again = load(pets)
        finally:
            torch.set_default_dtype(torch.float32)
        assert fingerprints(again) == fingerprints(model)

    def test_buffers_that_are_not_saved_are_right(self, tmp_path: Path) -> None:
        model = fk.compose(
            {
                "rgb": fk.Branch(
                    "toy/tiny",
                    weights=None,
                    preprocessing=fk.Preprocessing(
                        size=(8, 8), mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)
                    ),
                )
            },
            head="toy/sum",
            num_classes=3,
            preprocess="inside",
            catalog=toy_catalog(),
        ).half()
        again = load(fk.save(model, tmp_path / "x"))
        assert again.prepare["rgb"].mean.dtype == torch.float16
        assert fingerprints(again) == fingerprints(model)

    def test_tied_parameters_are_saved_once_and_tied_again(self, tmp_path: Path) -> None:
        def tied(**options: Any) -> TinyNet:
            net = plain_tiny(**options)
            net.body[3].weight = nn.Parameter(net.top.weight[:, :, None, None].detach().clone())
            net.extra = nn.Linear(16, 16)
            net.extra.weight = net.top.weight
            net.stages = (*net.stages[:-1], fk.Stage("top", ("top", "extra")))
            return net

        catalog = catalog_with(tied)
        torch.manual_seed(0)
        branch = fk.Branch("toy/tiny", weights=None)
        model = fk.compose({"one": branch}, head="toy/sum", num_classes=2, catalog=catalog)
        folder = fk.save(model, tmp_path / "x")
        from safetensors.torch import load_file

        assert "branches.one.extra.weight" not in load_file(folder / "model.safetensors")
        again = fk.load(folder, catalog=catalog)
        one = again.branches["one"]
        assert one.extra.weight is one.top.weight
        assert fingerprints(again) == fingerprints(model)

    def test_it_goes_through_several_saves_unchanged(
        self, model: fk.FusedModel, pets: Path
    ) -> None:
        for _ in range(2):
            assert fk.save(load(pets), pets) == pets
        assert fingerprints(load(pets)) == fingerprints(model)
        assert load(pets).recipe == model.recipe

    def test_a_link_to_the_folder_is_followed(self, pets: Path) -> None:
        link = pets.with_name("latest")
        link.symlink_to(pets)
        assert load(link).epoch == 3


class TestNothingFromOutside:
    def test_no_factory_is_asked_for_weights_and_their_name_is_kept(self, tmp_path: Path) -> None:
        asked = []

        def spy(*, weights: str | None = None, **options: Any) -> TinyNet:
            asked.append(weights)
            net = plain_tiny(**options)
            net.weights = "v2" if weights == "default" else weights
            return net

        catalog = catalog_with(spy)
        branches = {"one": fk.Branch("toy/tiny"), "two": fk.Branch("toy/tiny", weights="v1")}
        model = fk.compose(branches, head="toy/sum", num_classes=2, catalog=catalog)
        assert asked == ["default", "v1"]
        again = fk.load(fk.save(model, tmp_path / "x"), catalog=catalog)
        assert asked == ["default", "v1", None, None]
        assert [again.branches[name].weights for name in ("one", "two")] == ["v2", "v1"]
        assert str(again.summary()) == str(model.summary())
        assert again.recipe == model.recipe

    def test_the_files_that_weights_came_from_are_not_needed(self, tmp_path: Path) -> None:
        from safetensors.torch import save_file

        save_file(TinyNet().state_dict(), tmp_path / "stock.safetensors")
        branch = fk.Branch("toy/tiny", weights=tmp_path / "stock.safetensors")
        model = fk.compose({"one": branch}, head="toy/sum", num_classes=2, catalog=toy_catalog())
        folder = fk.save(model, tmp_path / "x")
        (tmp_path / "stock.safetensors").unlink()
        again = load(folder)
        assert fingerprints(again) == fingerprints(model)
        assert again.branches["one"].weights == "stock.safetensors"

    def test_the_network_is_not_touched(self, pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("a connection was made")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        load(pets)

    def test_f044_code_in_the_folder_is_not_run(
        self, pets: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("evil.py", "__init__.py", "sitecustomize.py"):
            (pets / name).write_text(f"open({str(pets.parent / 'ran')!r}, 'w')")
        monkeypatch.chdir(pets)
        load(pets)
        assert not (pets.parent / "ran").exists()

    def test_f043_a_pickle_in_place_of_the_tensors_is_refused_and_not_run(self, pets: Path) -> None:
        class Payload:
            def __reduce__(self) -> tuple[Any, ...]:
                return os.system, (f"touch {pets.parent / 'ran'}",)

        for protocol in (2, 4):
            raw = pickle.dumps({"x": Payload(), "pad": "." * 100}, protocol=protocol)
            (pets / "model.safetensors").write_bytes(raw)
            with pytest.raises(fk.CheckpointError, match="has changed since it was saved"):
                load(pets)
            reseal(pets)
            with pytest.raises(fk.CheckpointError):
                load(pets)
        assert not (pets.parent / "ran").exists()


class TestDamage:
    def test_p10_a_flipped_bit_in_any_file_is_refused(self, pets: Path) -> None:
        for name in FILES:
            whole = (pets / name).read_bytes()
            step = max(1, len(whole) // 150)
            for place in range(0, len(whole), step):
                mutated = bytearray(whole)
                mutated[place] ^= 1 << place % 8
                (pets / name).write_bytes(mutated)
                refused = refusal(pets)
                if refused is None:  # white space between the fields of the manifest
                    assert name == MANIFEST
                    assert json.loads(mutated) == json.loads(whole)
                else:
                    assert isinstance(refused, fk.CheckpointError)
                    assert name in str(refused)
            (pets / name).write_bytes(whole)
        load(pets)

    @pytest.mark.parametrize("name", FILES)
    def test_f027_a_cut_file_is_refused(self, pets: Path, name: str) -> None:
        whole = (pets / name).read_bytes()
        for length in {0, 1, 7, 8, 9, len(whole) // 2, len(whole) - 1}:
            (pets / name).write_bytes(whole[:length])
            if name == MANIFEST and length == len(whole) - 1:
                continue  # the line's end
            with pytest.raises(fk.CheckpointError, match=name):
                load(pets)

    @pytest.mark.parametrize("name", FILES)
    def test_a_missing_or_renamed_file_is_refused(self, pets: Path, name: str) -> None:
        (pets / name).rename(pets / f"old-{name}")
        with pytest.raises(fk.CheckpointError, match=f"{name}"):
            load(pets)

    @pytest.mark.parametrize("name", FILES)
    def test_f040_a_link_in_place_of_a_file_is_refused(self, pets: Path, name: str) -> None:
        (pets / name).rename(pets.parent / name)
        (pets / name).symlink_to(pets.parent / name)
        with pytest.raises(fk.CheckpointError, match=f"{name} is missing"):
            load(pets)

    def test_a_further_file_is_not_looked_at(self, model: fk.FusedModel, pets: Path) -> None:
        (pets / "notes.txt").write_text("mine")
        (pets / "model.safetensors.index.json").write_text("{")
        (pets / "pytorch_model.bin").write_bytes(b"\x80\x02.")
        assert fingerprints(load(pets)) == fingerprints(model)

    def test_a_manifest_that_lists_other_files_is_refused(self, pets: Path) -> None:
        from fusionkit.saved.manifest import read_manifest, write_manifest

        sums = read_manifest(pets)
        for files in ({}, {"config.json": sums["config.json"]}, {**sums, "more.txt": "0" * 64}):
            (pets / MANIFEST).unlink()
            write_manifest(pets, files)
            with pytest.raises(fk.CheckpointError, match=r"the manifest lists .* instead of"):
                load(pets)

    def test_files_of_two_saves_are_not_mixed(self, pets: Path, tmp_path: Path) -> None:
        other = fk.save(toy_model(epoch=5), tmp_path / "other")
        for name in FILES:
            shutil.copytree(pets, tmp_path / "mixed")
            shutil.copy(other / name, tmp_path / "mixed" / name)
            if (other / name).read_bytes() != (pets / name).read_bytes():
                with pytest.raises(fk.CheckpointError, match="has changed since it was saved"):
                    load(tmp_path / "mixed")
            shutil.rmtree(tmp_path / "mixed")

    def test_a_config_edited_by_hand_is_refused(self, pets: Path) -> None:
        text = (pets / "config.json").read_text()
        (pets / "config.json").write_text(text.replace('"epoch": 3', '"epoch": 4'))
        with pytest.raises(fk.CheckpointError, match=r"config\.json has changed since it was sav"):
            load(pets)

    def test_values_that_are_not_finite_are_refused(self, pets: Path) -> None:
        path = pets / "model.safetensors"
        raw = bytearray(path.read_bytes())
        header = struct.unpack("<Q", raw[:8])[0]
        entry = json.loads(raw[8 : 8 + header])["head.out.rgb.bias"]
        start = 8 + header + entry["data_offsets"][0]
        raw[start : start + 4] = struct.pack("<f", float("nan"))
        path.write_bytes(raw)
        reseal(pets)
        with pytest.raises(fk.CheckpointError, match=r"'head\.out\.rgb\.bias' holds NaN \(1 of 3"):
            load(pets)


class TestWhatIsGiven:
    def test_a_folder_that_is_not_there_is_told_with_near_names(self, pets: Path) -> None:
        with pytest.raises(
            fk.CheckpointError, match=r"there is no folder .*pet\. Did you mean 'pe"
        ):
            load(pets.with_name("pet"))

    def test_one_file_of_the_folder_is_told(self, pets: Path) -> None:
        for name in FILES:
            with pytest.raises(fk.CheckpointError, match=f"load its folder, '{pets}'"):
                load(pets / name)

    def test_any_other_file_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "model.pt").write_bytes(b"PK")
        with pytest.raises(fk.CheckpointError, match=r"model\.pt is a file; load takes the folder"):
            load(tmp_path / "model.pt")

    def test_any_other_folder_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(fk.CheckpointError, match="is not a saved fusionkit model: it has no"):
            load(tmp_path)


class TestPlugins:
    def test_a_plugin_that_is_not_installed_is_told_with_what_saved_the_model(
        self, pets: Path
    ) -> None:
        with pytest.raises(fk.ConfigError) as caught:
            fk.load(pets, catalog=fk.Catalog())
        assert "no plugin 'toy' is installed" in str(caught.value)
        assert f"The model was saved with fusionkit {fk.__version__}" in str(caught.value)
        assert "'rgb' from a plugin given in Python" in str(caught.value)

    def test_a_backbone_that_is_gone_is_told_with_what_saved_the_model(self, pets: Path) -> None:
        class Smaller(ToyPlugin):
            @fk.hookimpl
            def fusionkit_backbones(self):
                return {"tinny": plain_tiny}

        with pytest.raises(fk.FusionKitError, match=r"toy/tinny.*The model was saved with"):
            fk.load(pets, catalog=fk.Catalog().with_plugin("toy", Smaller()))

    def test_a_plugin_that_fails_is_told_with_what_saved_the_model(self, pets: Path) -> None:
        def broken(**_: Any) -> TinyNet:
            raise ZeroDivisionError("division by zero")

        with pytest.raises(fk.AssemblyError, match=r"division by zero.*The model was saved with"):
            fk.load(pets, catalog=catalog_with(broken))

    def test_a_plugins_own_error_is_told_as_what_it_stands_for(self, pets: Path) -> None:
        class Strange(fk.ConfigError):
            def __init__(self, code: int, *, reason: str) -> None:
                super().__init__(f"{reason} ({code})")

        def broken(**_: Any) -> TinyNet:
            raise Strange(7, reason="out of order")

        with pytest.raises(fk.ConfigError, match=r"out of order \(7\).*The model was saved with"):
            fk.load(pets, catalog=catalog_with(broken))

    def test_an_option_that_the_plugin_no_longer_takes_is_told(self, tmp_path: Path) -> None:
        branch = fk.Branch("toy/tiny", weights=None, options={"width": 8})
        model = fk.compose({"one": branch}, head="toy/sum", num_classes=2, catalog=toy_catalog())
        folder = fk.save(model, tmp_path / "x")

        def fewer(*, in_channels=3, weights=None, num_classes=None):
            return plain_tiny(in_channels=in_channels)

        with pytest.raises(fk.OptionError, match=r"'width'.*The model was saved with"):
            fk.load(folder, catalog=catalog_with(fewer))

    @pytest.mark.parametrize(
        ("change", "cause"),
        [
            (
                lambda **o: TinyNet(o["in_channels"], 32),
                "'flow' was saved with a width of 16, but 'toy/tiny' now has 32",
            ),
            (
                lambda **o: renamed(TinyNet(o["in_channels"])),
                "was saved with the stages stem, body, top, but 'toy/tiny' now has root, rest",
            ),
        ],
    )
    def test_a_plugin_that_now_builds_something_else_is_refused(
        self, pets: Path, change: Callable[..., fk.Backbone], cause: str
    ) -> None:
        def make(*, in_channels=3, weights=None, num_classes=None):
            return change(in_channels=in_channels)

        with pytest.raises(fk.CheckpointError, match=cause) as caught:
            fk.load(pets, catalog=catalog_with(make))
        assert "install what it was saved with" in str(caught.value)

    def test_a_plugin_that_now_has_other_parameters_is_refused(self, pets: Path) -> None:
        def wider(**options: Any) -> TinyNet:
            net = plain_tiny(**options)
            net.top = nn.Linear(16, 16, bias=False)
            return net

        with pytest.raises(fk.CheckpointError) as caught:
            fk.load(pets, catalog=catalog_with(wider))
        assert "2 that the model does not have (branches." in str(caught.value)
        assert "The model was saved with" in str(caught.value)

    def test_a_head_that_now_has_other_parameters_is_refused(self, pets: Path) -> None:
        class Other(SumHead):
            def __init__(self, inputs, *, num_classes: int) -> None:
                super().__init__(inputs, num_classes=num_classes)
                self.scale = nn.Parameter(torch.ones(1))

        class Changed(ToyPlugin):
            @fk.hookimpl
            def fusionkit_heads(self):
                return {"sum": Other}

        with pytest.raises(fk.CheckpointError, match=r"1 missing in the file \(head\.scale\)"):
            fk.load(pets, catalog=fk.Catalog().with_plugin("toy", Changed()))


def renamed(net: TinyNet) -> TinyNet:
    net.stages = (fk.Stage("root", "stem"), fk.Stage("rest", "body", "top"))
    return net


class TestLaterAndWrongConfigs:
    def test_a_later_config_is_refused(self, pets: Path) -> None:
        rewrite(pets, lambda config: config.update(format=2, fusionkit="9.0"))
        with pytest.raises(
            fk.CheckpointError, match=r"saved by fusionkit 9\.0 in format 2, but th"
        ):
            load(pets)

    def test_a_later_recipe_is_refused(self, pets: Path) -> None:
        rewrite(pets, lambda config: config["recipe"].update(format=2))
        with pytest.raises(fk.CheckpointError, match=r"recipe format 2, but this fusionkit reads"):
            load(pets)

    @pytest.mark.parametrize("what", ["num_classes", "in_channels"])
    def test_f044_a_size_that_the_file_cannot_hold_is_refused_before_it_is_built(
        self, pets: Path, what: str
    ) -> None:
        def blow_up(config: dict[str, Any]) -> None:
            place = config["recipe"]
            (place if what == "num_classes" else place["branches"]["rgb"])[what] = 10**12

        rewrite(pets, blow_up)
        with pytest.raises(fk.CheckpointError, match=rf"{what}.* is 1,000,000,000,000, but all te"):
            load(pets)

    def test_another_number_of_classes_does_not_fit(self, pets: Path) -> None:
        rewrite(pets, lambda config: config["recipe"].update(num_classes=4))
        with pytest.raises(fk.CheckpointError, match="of another shape"):
            load(pets)


class TestOtherProcesses:
    def test_a_save_in_the_middle_of_a_load_gives_the_new_model(
        self, pets: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        newer = toy_model(epoch=5)
        real = contents_module.read_tensors
        saves = []

        def interrupted(path: Path, **options: Any) -> Any:
            if not saves:
                saves.append(fk.save(newer, pets))
            return real(path, **options)

        monkeypatch.setattr(contents_module, "read_tensors", interrupted)
        assert load(pets).epoch == 5
        assert saves == [pets]

    def test_a_folder_that_keeps_changing_is_given_up(
        self, pets: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        epochs = iter(range(100, 200))
        real = contents_module.read_tensors

        def interrupted(path: Path, **options: Any) -> Any:
            fk.save(toy_model(next(epochs)), pets)
            return real(path, **options)

        monkeypatch.setattr(contents_module, "read_tensors", interrupted)
        with pytest.raises(fk.CheckpointError, match="has changed since it was saved"):
            load(pets)

    def test_loads_while_another_thread_saves_give_one_of_the_models(self, pets: Path) -> None:
        models = {epoch: toy_model(epoch) for epoch in (3, 5)}
        expected = {epoch: fingerprints(model) for epoch, model in models.items()}
        stop = threading.Event()

        def keep_saving() -> None:
            while not stop.is_set():
                for model in models.values():
                    fk.save(model, pets)

        writer = threading.Thread(target=keep_saving)
        writer.start()
        try:
            for _ in range(15):
                again = load(pets)
                assert fingerprints(again) == expected[again.epoch]
        finally:
            stop.set()
            writer.join()

    def test_a_folder_that_a_killed_save_took_away_is_put_back(self, pets: Path) -> None:
        pets.rename(pets.with_name(".pets.old-0123456789ab"))
        assert load(pets).epoch == 3
        assert os.listdir(pets.parent) == ["pets"]


class TestMemory:
    def test_f045_the_model_does_not_depend_on_the_file(self, pets: Path) -> None:
        again = load(pets)
        before = fingerprints(again)
        os.truncate(pets / "model.safetensors", 10)
        shutil.rmtree(pets)
        assert fingerprints(again) == before

    def test_each_file_is_opened_once(self, pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        opened = []
        real = Path.open
        monkeypatch.setattr(
            Path, "open", lambda path, *a, **kw: opened.append(path.name) or real(path, *a, **kw)
        )
        load(pets)
        assert sorted(opened) == sorted(FILES)


MUTATIONS = st.lists(
    st.tuples(
        st.sampled_from(["set", "insert", "delete"]),
        st.floats(0, 1),
        st.binary(min_size=1, max_size=4),
    ),
    min_size=1,
    max_size=5,
)


def mutate(whole: bytes, mutations: list[tuple[str, float, bytes]]) -> bytes:
    mutated = bytearray(whole)
    for how, where, new in mutations:
        place = int(where * len(mutated))
        end = place + len(new)
        mutated[place : place if how == "insert" else end] = b"" if how == "delete" else new
    return bytes(mutated)


@settings(max_examples=int(os.environ.get("FUSIONKIT_EXAMPLES", "300")), deadline=None)
@given(name=st.sampled_from(FILES), mutations=MUTATIONS, sealed=st.booleans())
def test_random_mutations_raise_nothing_but_errors_of_the_project(
    tmp_path_factory: pytest.TempPathFactory,
    original: Path,
    name: str,
    mutations: list[tuple[str, float, bytes]],
    sealed: bool,
) -> None:
    folder = Path(tmp_path_factory.getbasetemp()) / "mutated"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(original, folder)
    whole = (folder / name).read_bytes()
    if name == "model.safetensors":  # most of it is values, where nothing is parsed
        header = 8 + int.from_bytes(whole[:8], "little")
        (folder / name).write_bytes(mutate(whole[:header], mutations) + whole[header:])
    else:
        (folder / name).write_bytes(mutate(whole, mutations))
    if sealed and name != MANIFEST:
        reseal(folder)
    refused = refusal(folder)
    if refused is not None and not (sealed and name == "config.json"):
        assert isinstance(refused, fk.CheckpointError)
