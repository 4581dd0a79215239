"""Samples by branch: one decode, shared pixels, broken files, other kinds of inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data_pictures import OTHER, SMALL, listed, noise, put
from PIL import Image
from toys import toy_catalog

import fusionkit as fk
from fusionkit.cache.compute import describe_preparation
from fusionkit.data import (
    Normalise,
    Preparation,
    PreparedDataset,
    Sample,
    collate,
    preparations_of,
)
from fusionkit.data.sample import ListedSamples

WIDE = fk.Preprocessing(size=(6, 9), resize=10, interpolation="bicubic")


def memory(*inputs: dict[str, Any]) -> ListedSamples:
    samples = [Sample(f"s{n}", each, 0) for n, each in enumerate(inputs)]
    return ListedSamples(samples, ["c"], tuple(inputs[0]))


def toy_model(preprocess: str = "outside", **branches: fk.Branch) -> fk.FusedModel:
    return fk.compose(
        branches, fk.Head("toy/sum"), num_classes=2, catalog=toy_catalog(), preprocess=preprocess
    )


def branch(preprocessing: fk.Preprocessing = SMALL, **options: Any) -> fk.Branch:
    return fk.Branch("toy/tiny", weights=None, preprocessing=preprocessing, **options)


def test_each_branch_gets_what_its_own_transform_gives(tmp_path: Path):
    samples = listed(tmp_path)
    preparations = {"a": SMALL, "b": OTHER, "c": WIDE}
    dataset = PreparedDataset(samples, preparations)
    batch = collate([dataset[index] for index in (3, 0)])
    assert batch.ids == ("s3", "s0")
    assert batch.labels is not None
    assert batch.labels.tolist() == [1, 0]
    assert batch.indices.tolist() == [3, 0]
    assert batch.inputs["a"] is batch.inputs["b"]
    normalised = Normalise(preparations)(batch.inputs)
    for name, about in preparations.items():
        for row, index in enumerate((3, 0)):
            with Image.open(samples[index].inputs["image"]) as image:
                assert torch.equal(normalised[name][row], about.transform()(image))


def test_what_need_not_be_exact_is_so_for_every_branch_and_some_of_them(tmp_path: Path):
    samples = listed(tmp_path)
    preparations = {"a": SMALL, "b": OTHER, "c": WIDE}
    exact = PreparedDataset(samples, preparations)
    quick = PreparedDataset(samples, preparations, exact=False)
    assert not any(each.exact for each in quick.prepare.preparations.values())
    assert not any(each.exact for each in quick.only(["a", "c"]).prepare.preparations.values())
    one = quick[0].inputs
    assert one["a"] is one["b"]
    for name in preparations:
        difference = quick[0].inputs[name].int() - exact[0].inputs[name].int()
        assert difference.abs().max() <= 3


def test_an_input_is_decoded_once_for_all_branches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    opened: list[object] = []
    plain = Image.open
    monkeypatch.setattr(Image, "open", lambda file: (opened.append(file), plain(file))[1])
    dataset = PreparedDataset(listed(tmp_path, 2), {"a": SMALL, "b": OTHER, "c": WIDE})
    assert len(opened) == 0
    _ = dataset[0], dataset[1]
    assert len(opened) == 2


def test_an_input_is_resized_once_for_branches_that_resize_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sizes: list[tuple[int, int]] = []
    plain = Image.Image.resize
    monkeypatch.setattr(
        Image.Image,
        "resize",
        lambda self, size, how: (sizes.append(size), plain(self, size, how))[1],
    )
    even = fk.Preprocessing(size=(12, 12), resize=12)  # the pictures' own shorter side
    _ = PreparedDataset(listed(tmp_path, 1), {"a": SMALL, "b": OTHER, "c": WIDE, "d": even})[0]
    assert sizes == [(12, 10), (12, 10)]


def test_a_model_says_how_its_branches_are_prepared(tmp_path: Path):
    model = toy_model(a=branch(), b=branch(WIDE, in_channels=1, input="nir"))
    assert preparations_of(model) == {
        "a": Preparation("image", SMALL),
        "b": Preparation("nir", WIDE.for_channels(1), channels=1),
    }
    samples = memory({"image": noise(), "nir": noise(mode="L")}, {"image": noise(), "nir": noise()})
    dataset = PreparedDataset(samples, model)
    batch = collate([dataset[0], dataset[1]])
    assert {name: tuple(each.shape) for name, each in batch.inputs.items()} == {
        "a": (2, 3, 8, 8),
        "b": (2, 1, 6, 9),
    }
    assert model.eval()(Normalise(model)(batch.inputs)).shape == (2, 2)


def test_a_model_that_prepares_inside_computes_the_same():
    branches = {"a": branch(), "b": branch(fk.Preprocessing(size=(8, 8)))}
    outside, inside = toy_model(**branches), toy_model("inside", **branches)
    inside.load_state_dict(outside.state_dict())
    answers = []
    for model in (outside.eval(), inside.eval()):
        dataset = PreparedDataset(memory({"image": noise(30, 41)}), model)
        answers.append(model(Normalise(model)(collate([dataset[0]]).inputs)))
    assert torch.equal(*answers)
    odd = toy_model("inside", a=branch(fk.Preprocessing(size=(12, 12), resize=8)))
    with pytest.raises(fk.ConfigError, match="branch 'a' is resized to 8 pixels and then padded"):
        preparations_of(odd)


def test_branches_of_unknown_preparation_and_what_is_no_model():
    model = toy_model(a=fk.Branch("toy/tiny", weights=None))
    with pytest.raises(fk.ConfigError, match="branch 'a': it is not known how its inputs are prep"):
        preparations_of(model)
    with pytest.raises(fk.ConfigError, match=r"preparations come from a model, .* got int"):
        preparations_of(3)
    with pytest.raises(fk.ConfigError, match="branch 'a': a preparation is a Preparation or a Pre"):
        preparations_of({"a": 224})
    with pytest.raises(fk.ConfigError, match="channels must be at least 1"):
        Preparation(channels=0)


def test_branches_that_take_no_images_get_their_inputs_as_they_are(tmp_path: Path):
    model = toy_model(a=branch(), v=fk.Branch("toy/vector", weights=None, input="v", in_channels=4))
    np.save(tmp_path / "v.npy", np.ones(4, dtype=np.float32))
    samples = memory(
        {"image": noise(), "v": torch.zeros(4)}, {"image": noise(), "v": tmp_path / "v.npy"}
    )
    dataset = PreparedDataset(samples, model)
    batch = collate([dataset[0], dataset[1]])
    assert batch.inputs["v"].tolist() == [[0] * 4, [1] * 4]
    assert model.eval()(Normalise(model)(batch.inputs)).shape == (2, 2)
    picture = memory({"image": noise(), "v": put(tmp_path / "v.png")})
    with pytest.raises(fk.DataError, match=r"v.png is for a branch that takes no images"):
        PreparedDataset(picture, model)[0]


def test_texts_are_encoded_and_filled_up():
    def encode(text: str) -> dict[str, torch.Tensor]:
        ids = torch.tensor([len(word) for word in text.split()])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    samples = memory({"caption": "a cat"}, {"caption": "an old grey dog"})
    preparations = {"text": Preparation("caption")}
    dataset = PreparedDataset(samples, preparations, encoders={"caption": encode})
    batch = collate([dataset[0], dataset[1]])
    assert batch.inputs["text"]["input_ids"].tolist() == [[1, 3, 0, 0], [2, 3, 4, 3]]
    assert batch.inputs["text"]["attention_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    plain = PreparedDataset(samples, preparations)
    assert collate([plain[0], plain[1]]).inputs["text"] == ["a cat", "an old grey dog"]


def test_texts_are_encoded_by_the_branch_that_reads_them_unless_it_is_said_otherwise():
    def lengths(text: str) -> dict[str, torch.Tensor]:
        return {"ids": torch.tensor([len(text)])}

    def ones(text: str) -> dict[str, torch.Tensor]:
        return {"ids": torch.ones(1, dtype=torch.long)}

    samples = memory({"caption": "a cat"}, {"caption": "an old grey dog"})
    model = toy_model(
        a=fk.Branch("toy/vector", weights=None, input="caption", in_channels=4),
        b=fk.Branch("toy/vector", weights=None, input="caption", in_channels=4),
    )
    model.branches["a"].encode, model.branches["b"].encode = lengths, ones
    dataset = PreparedDataset(samples, model)
    batch = collate([dataset[0], dataset[1]])
    assert batch.inputs["a"]["ids"].tolist() == [[5], [15]]
    assert batch.inputs["b"]["ids"].tolist() == [[1], [1]]
    assert describe_preparation(dataset, "a") != describe_preparation(dataset, "b")
    given = PreparedDataset(samples, model, encoders={"caption": ones})
    assert given.only(["a"])[0].inputs["a"]["ids"].tolist() == [1]


def test_f085_a_broken_file_stops_the_run_and_is_named(tmp_path: Path):
    samples = listed(tmp_path)
    samples[2].inputs["image"].write_bytes(b"")
    dataset = PreparedDataset(samples, {"a": SMALL})
    with pytest.raises(fk.DataError, match=r"sample 's2': .*s2.png is empty: it has 0 bytes"):
        dataset[2]
    assert dataset[1].broken is None


def test_f085_broken_files_are_skipped_as_told_and_named(tmp_path: Path):
    samples = listed(tmp_path, 200)
    for number in (3, 5):
        samples[number].inputs["image"].write_bytes(b"")
    dataset = PreparedDataset(samples, {"a": SMALL}, broken="skip")
    batch = collate([dataset[index] for index in range(3, 7)])
    assert batch.ids == ("s4", "s6")
    assert [name for name, _ in batch.broken] == ["s3", "s5"]
    assert "s3.png is empty" in batch.broken[0][1]
    assert len(batch) == 2
    assert dataset.broken_samples == ("s3", "s5")
    _ = dataset[3]  # the same one again is not one more
    samples[7].inputs["image"].write_bytes(b"")
    with pytest.raises(fk.DataError, match=r"3 of 200 .* more than the 2 that may .*s3, s5, s7"):
        dataset[7]
    assert dataset.epoch == 0


def test_f085_one_may_be_broken_however_few_there_are(tmp_path: Path):
    samples = listed(tmp_path, 3)
    samples[0].inputs["image"].write_bytes(b"")
    dataset = PreparedDataset(samples, {"a": SMALL}, broken="skip", most_broken=0)
    assert dataset[0].broken is not None
    with pytest.raises(
        fk.DataError, match=r"none of the 1 samples of a batch can be read: .*s0.png"
    ):
        collate([dataset[0]])


def test_a_dataset_that_fails_by_itself_is_named():
    class Failing(torch.utils.data.Dataset[Any]):
        targets = (0, 0)
        classes = ("c",)

        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> Any:
            raise ValueError("no such record")

    samples = fk.data.open_samples(Failing())
    with pytest.raises(
        fk.DataError, match="sample '1': cannot be read: ValueError: no such record"
    ):
        PreparedDataset(samples, {"a": SMALL})[1]


def test_inputs_have_to_be_there(tmp_path: Path):
    samples = listed(tmp_path, 1)
    with pytest.raises(fk.ConfigError, match=r"'a' reads the input 'imgae', .* mean 'image'\?"):
        PreparedDataset(samples, {"a": Preparation("imgae", SMALL)})
    lacking = ListedSamples([Sample("s", {}, 0)], ["c"], ("image",))
    with pytest.raises(fk.DataError, match="sample 's': it has no input 'image'"):
        PreparedDataset(lacking, {"a": SMALL})[0]


def test_bad_options(tmp_path: Path):
    samples = listed(tmp_path, 1)
    with pytest.raises(fk.ConfigError, match="broken is 'stop' or 'skip', got 'ignore'"):
        PreparedDataset(samples, {"a": SMALL}, broken="ignore")  # type: ignore[arg-type]
    with pytest.raises(fk.ConfigError, match=r"most_broken is a share in \[0, 1\], got 3"):
        PreparedDataset(samples, {"a": SMALL}, most_broken=3)
