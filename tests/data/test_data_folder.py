"""Samples of image folders: layouts, splits, the class map, links, and what is in the way."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from data_pictures import put, put_tree

import fusionkit as fk
from fusionkit.data import open_predict, open_samples


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return put_tree(
        tmp_path,
        "train/cat/b.png",
        "train/cat/A.JPG",
        "train/dog/c.png",
        "val/cat/d.PnG",
        "val/dog/e.jpeg",
    )


def test_samples_are_in_a_fixed_order_and_named_by_their_paths(pets: Path):
    train = open_samples(pets, "train")
    assert train.classes == ("cat", "dog")
    assert train.ids == ("train/cat/A.JPG", "train/cat/b.png", "train/dog/c.png")
    assert train.labels == (0, 0, 1)
    assert train.input_names == ("image",)
    assert [sample.id for sample in train] == list(train.ids)
    assert train[0].inputs == {"image": pets / "train/cat/A.JPG"}
    assert len(open_samples(str(pets), "val")) == 2


def test_a_folder_of_classes_without_splits(tmp_path: Path):
    put_tree(tmp_path, "cat/a.png", "cat/deep/er.png", "dog/b.png")
    samples = open_samples(tmp_path)
    assert samples.ids == ("cat/a.png", "cat/deep/er.png", "dog/b.png")


def test_several_inputs_are_joined_by_relative_path_of_any_kind(tmp_path: Path):
    put_tree(tmp_path, "rgb/train/sea/1.jpg", "rgb/train/sky/2.jpg")
    put_tree(tmp_path, "nir/train/sea/1.png", "nir/train/sky/2.jpg", "nir/train/loose.png")
    samples = open_samples(tmp_path, "train", inputs=("rgb", "nir"))
    assert samples.ids == ("train/sea/1.jpg", "train/sky/2.jpg")
    assert samples[0].inputs["nir"] == tmp_path / "nir/train/sea/1.png"
    assert open_samples(tmp_path, "train", inputs=("rgb",)).ids == samples.ids
    put(tmp_path / "nir/train/sky/3.jpg")
    with pytest.raises(
        fk.DataError, match=r"1 of 3 samples of .*nir.* lack another input .*rgb.*3"
    ):
        open_samples(tmp_path, "train", inputs=("nir", "rgb"))
    with pytest.raises(fk.DataError, match=r"no folder 'nri'. Did you mean 'nir'\?"):
        open_samples(tmp_path, "train", inputs=("rgb", "nri"))


def test_what_only_a_later_input_has_is_an_error(tmp_path: Path):
    names = ("sea/1.jpg", "sky/2.jpg")
    put_tree(
        tmp_path, *(f"{each}/train/{name}" for each in ("rgb", "nir", "sar") for name in names)
    )
    both = ("rgb", "nir", "sar")
    assert len(open_samples(tmp_path, "train", inputs=both)) == 2
    assert len(open_predict(tmp_path, inputs=both)) == 2
    put_tree(tmp_path / "sar/train/sky", "3.jpg", "4.jpg", "5.jpg", "6.jpg")
    message = (
        r"4 of 6 files of .*sar.* have no partner .* in .*rgb.*: .*3.jpg, .*4.jpg, .*5.jpg, \."
    )
    for opened in (
        lambda: open_samples(tmp_path, "train", inputs=both),
        lambda: open_predict(tmp_path, inputs=both),
    ):
        with pytest.raises(fk.DataError, match=message):
            opened()


def test_a_class_folder_that_only_one_input_has_is_an_error(tmp_path: Path):
    put_tree(tmp_path, "rgb/train/sea/1.jpg", "nir/train/sea/1.jpg", "nir/train/sky/2.jpg")
    with pytest.raises(
        fk.DataError, match=r"1 class folder of .*nir.* is not in .*rgb.*: .*nir.*sky"
    ):
        open_samples(tmp_path, "train", inputs=("rgb", "nir"))
    with pytest.raises(fk.DataError, match=r"1 of 2 samples of .*nir.* lack another .*sky/2.jpg"):
        open_samples(tmp_path, "train", inputs=("nir", "rgb"))


def test_a_class_may_be_called_as_the_input(tmp_path: Path):
    put_tree(tmp_path, "image/a.png", "text/b.png")
    assert open_samples(tmp_path).classes == ("image", "text")


def test_the_split_has_to_be_said_and_to_be_there(pets: Path):
    with pytest.raises(fk.DataError, match="has the splits train, val: say which"):
        open_samples(pets)
    with pytest.raises(fk.DataError, match=r"no split 'test'; it has train, val.*split_samples"):
        open_samples(pets, "test")
    (pets / "val").rename(pets / "valid")
    assert len(open_samples(pets, "val")) == 2


def test_f084_hidden_folders_and_files_are_no_classes_and_no_samples(pets: Path):
    put_tree(pets, "train/.ipynb_checkpoints/x.png", "train/cat/.hidden.png", "train/cat/._A.JPG")
    (pets / "train" / "cat" / "Thumbs.db").write_bytes(b"x")
    train = open_samples(pets, "train")
    assert train.classes == ("cat", "dog")
    assert len(train) == 3
    assert train.ignored == (str(pets / "train" / "cat" / "Thumbs.db"),)


def test_f084_the_class_map_is_the_training_splits(pets: Path):
    put(pets / "train/eel/f.png")
    with pytest.warns(UserWarning, match="has no sample of 1 class: 'eel'; its metrics"):
        val = open_samples(pets, "val")
    assert val.classes == ("cat", "dog", "eel")
    put(pets / "val/dogs/g.png")
    with pytest.raises(fk.DataError, match=r"'dogs' is none of the 3 classes .*mean 'dog'\?"):
        open_samples(pets, "val", absent="allow")


def test_a_class_without_samples_is_reported_as_told(pets: Path):
    put(pets / "train/eel/f.png")
    with pytest.raises(fk.DataError, match="no sample of 1 class: 'eel'; add some"):
        open_samples(pets, "val", absent="refuse")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(open_samples(pets, "val", absent="allow")) == 2
    with pytest.raises(fk.ConfigError, match="absent is 'refuse', 'warn' or 'allow'"):
        open_samples(pets, "val", absent="never")  # type: ignore[arg-type]
    with pytest.raises(fk.DataError, match="no sample of 1 class: 'fox'"):
        open_samples(pets, "train", classes=("cat", "dog", "eel", "fox"))


def test_classes_that_are_given_decide_the_labels(pets: Path):
    assert open_samples(pets, "train", classes=("dog", "cat")).labels == (1, 1, 0)
    with pytest.raises(fk.DataError, match="'dog' is none of the 1 classes"):
        open_samples(pets, "train", classes=("cat",))
    with pytest.raises(fk.ConfigError, match="'cat' stands twice"):
        open_samples(pets, "train", classes=("cat", "dog", "cat"))
    with pytest.raises(fk.ConfigError, match="classes must be a list of names"):
        open_samples(pets, "train", classes="cat")


def test_f084_a_link_that_leads_back_is_named_and_does_not_hang(pets: Path):
    (pets / "train" / "dog" / "all").symlink_to(pets / "train", target_is_directory=True)
    with pytest.raises(fk.DataError, match=r"dog/all is a link to .*train, a folder that it lies"):
        open_samples(pets, "train")


def test_links_to_elsewhere_are_followed(pets: Path, tmp_path_factory: pytest.TempPathFactory):
    store = put_tree(tmp_path_factory.mktemp("store"), "eel/x.png")
    (pets / "train" / "eel").symlink_to(store / "eel", target_is_directory=True)
    (pets / "train" / "cat" / "z.png").symlink_to(store / "eel" / "x.png")
    assert open_samples(pets, "train").labels == (0, 0, 0, 1, 2)


def test_an_empty_class_folder_is_named(pets: Path):
    (pets / "train" / "eel").mkdir()
    with pytest.raises(fk.DataError, match=r"class folder .*train/eel holds no images; add some"):
        open_samples(pets, "train")


def test_a_folder_without_classes(tmp_path: Path):
    put(tmp_path / "a.png")
    with pytest.raises(
        fk.DataError, match=r"has no class folders.*`fusionkit predict`, or open_predict"
    ):
        open_samples(tmp_path)


def test_one_image_is_a_data_set(tmp_path: Path):
    assert len(open_samples(put_tree(tmp_path, "train/cat/a.png"), "train")) == 1


def test_unlabelled_folders_files_and_lists(pets: Path):
    everything = open_predict(pets)
    assert len(everything) == 5
    assert everything.labels == (None,) * 5
    assert everything.classes == ()
    one = pets / "val/cat/d.PnG"
    assert open_predict(one).ids == (str(one),)
    assert len(open_predict([one, pets / "val/dog/e.jpeg"])) == 2
    with pytest.raises(fk.DataError, match="is given twice"):
        open_predict([one, one])
    with pytest.raises(fk.DataError, match="there is no file"):
        open_predict([pets / "no.png"])
    with pytest.raises(fk.DataError, match="the list of files is empty"):
        open_predict([])
    with pytest.raises(fk.ConfigError, match="files hold one input"):
        open_predict([one], inputs=("rgb", "nir"))
    (pets / "none").mkdir()
    with pytest.raises(fk.DataError, match="holds no images"):
        open_predict(pets / "none")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": "image"}, "inputs must be a list of names"),
        ({"inputs": ()}, "inputs must be a list of names"),
        ({"inputs": ("a", "a")}, "'a' stands twice"),
        ({"inputs": ("../x",)}, "cannot be the name of an input"),
        ({"texts": ("b",)}, "texts names 'b', which is none of the inputs"),
    ],
)
def test_bad_arguments(pets: Path, options: dict[str, object], message: str):
    with pytest.raises(fk.ConfigError, match=message):
        open_samples(pets, "train", **options)  # type: ignore[arg-type]


def test_what_is_no_source(tmp_path: Path):
    with pytest.raises(fk.DataError, match="there is no folder or file"):
        open_samples(tmp_path / "nowhere")
    with pytest.raises(fk.ConfigError, match=r"samples come from a folder, .* got int"):
        open_samples(3)
    samples = open_samples(put_tree(tmp_path, "a/b.png"))
    assert open_samples(samples) is samples
    assert open_predict(samples) is samples


def test_content_changes_with_the_file(pets: Path):
    train = open_samples(pets, "train")
    before = [train.content(index) for index in range(3)]
    assert before == [train.content(index) for index in range(3)]
    assert len(set(before)) == 3
    put(pets / "train/cat/b.png", seed=77)
    after = [train.content(index) for index in range(3)]
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, True]
    (pets / "train/cat/b.png").unlink()
    assert train.content(1).endswith("|missing")


def test_folders_of_inputs_are_no_classes(tmp_path: Path):
    for name in ("nir", "rgb"):
        put(tmp_path / name / "train" / "cat" / "a.png")
        put(tmp_path / name / "val" / "cat" / "a.png")
    with pytest.raises(fk.DataError, match=r"folders nir, rgb of .* hold splits.*they are inputs"):
        open_samples(tmp_path)
