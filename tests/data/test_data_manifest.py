"""Samples of CSV and Parquet files; errors name file and line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from data_pictures import put_tree

import fusionkit as fk
from fusionkit.data import find_splits, open_predict, open_samples

GOOD = """id,rgb,nir,label,split
one,a.png,b.png,cat,train
two,b.png,a.png,dog,train
three,a.png,a.png,dog,val
"""


def write(tmp_path: Path, text: str, name: str = "pets.csv") -> Path:
    put_tree(tmp_path, "a.png", "b.png")
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_column_for_each_input(tmp_path: Path):
    path = write(tmp_path, GOOD)
    train = open_samples(path, "train", inputs=("rgb", "nir"))
    assert train.ids == ("one", "two")
    assert train.labels == (0, 1)
    assert train.classes == ("cat", "dog")
    assert train[1].inputs == {"rgb": tmp_path / "b.png", "nir": tmp_path / "a.png"}
    with pytest.warns(UserWarning, match=r"pets.csv, split 'val' has no sample of 1 class: 'cat'"):
        assert open_samples(path, "val", inputs=("rgb", "nir")).labels == (1,)


def test_tabs_marks_of_byte_order_and_blank_lines(tmp_path: Path):
    path = write(tmp_path, "\ufeffimage\tlabel\na.png\t b \n\nb.png\tc\n", "pets.tsv")
    samples = open_samples(path)
    assert samples.ids == ("a.png", "b.png")
    assert samples.classes == ("b", "c")


def test_labels_may_be_numbers(tmp_path: Path):
    path = write(tmp_path, "image,label\na.png,10\nb.png,9\n")
    assert open_samples(path).classes == ("9", "10")
    path = write(tmp_path, "image,label\na.png,1\nb.png,0\n")
    assert open_samples(path, classes=("cat", "dog")).labels == (1, 0)


def test_texts_are_no_paths(tmp_path: Path):
    path = write(tmp_path, 'id,image,caption,label\n1,a.png,"a cat, asleep",x\n2,b.png,a dog,y\n')
    samples = open_samples(path, inputs=("image", "caption"), texts=("caption",))
    assert samples[0].inputs["caption"] == "a cat, asleep"
    assert samples.content(0) != samples.content(1)


def test_manifests_to_predict_need_no_labels(tmp_path: Path):
    samples = open_predict(write(tmp_path, "image\na.png\nb.png\n"))
    assert samples.labels == (None, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("imgae,label\na.png,x\n", r"no column 'image'. Did you mean 'imgae'\? Its columns are"),
        ("image,lable\na.png,x\n", r"no column 'label'. Did you mean 'lable'\?"),
        ("image,image,label\na.png,b.png,x\n", "the column 'image' stands there twice"),
        ("image,label\na.png,x\nb.png\n", r"pets.csv:3: has 1 values, .* names 2 columns"),
        ("image,label\na.png,x,y\n", r"pets.csv:2: has 3 values"),
        ('image,label\n"a.png,x\n', r"pets.csv:2: unexpected end of data"),
        ("image,label\na.png,\n", r"pets.csv:2: the column 'label' is empty; every row needs"),
        ("image,label\n,x\n", r"pets.csv:2: the column 'image' is empty"),
        ("image,label\na.png,x\na.png,x\n", r"csv:3: the id 'a.png' stands at .*csv:2 too; add a"),
        ("id,image,label\n1,a.png,x\n1,b.png,x\n", r"csv:3: the id '1' .*; give each row its own"),
        ("id,image,label\n,a.png,x\n", r"csv:2: the column 'id' is empty"),
        ("image,label\n", "has no rows"),
        ("", "is empty; its first line names the columns"),
        (
            "image,label\n" + "".join(f"x{n}.png,x\n" for n in range(5)),
            r"names 5 files that are not there: .*x0.png, .*x1.png, .*x2.png, \.\.\.; paths",
        ),
        ("image,label,split\na.png,x,train\n", "has the splits 'train': say which"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, text: str, message: str):
    with pytest.raises(fk.DataError, match=message):
        open_samples(write(tmp_path, text))


def test_splits_of_a_manifest(tmp_path: Path):
    path = write(tmp_path, GOOD)
    with pytest.raises(fk.DataError, match=r"no split 'vla'; it has 'train', 'val'. Did you mean"):
        open_samples(path, "vla", inputs=("rgb", "nir"))
    path = write(tmp_path, "image,label\na.png,x\n")
    with pytest.raises(fk.DataError, match="no column 'split', but the split 'val' is asked for"):
        open_samples(path, "val")


@pytest.mark.parametrize("name", ["val", "validation", "valid"])
def test_the_split_to_validate_on_may_have_its_other_names(tmp_path: Path, name: str):
    path = write(tmp_path, f"image,label,split\na.png,x,train\nb.png,x,{name}\n")
    assert find_splits(path) == ("train", "val")
    assert open_samples(path, "val").ids == open_samples(path, name).ids == ("b.png",)


def test_a_label_that_training_does_not_know(tmp_path: Path):
    text = "image,label,split\na.png,cat,train\nb.png,cats,val\n"
    with pytest.raises(fk.DataError, match=r"csv:3: the label 'cats' is none .*mean 'cat'\?"):
        open_samples(write(tmp_path, text), "val")


def test_what_is_no_manifest(tmp_path: Path):
    with pytest.raises(fk.ConfigError, match=r"is no manifest: one ends in .csv, .tsv or .parquet"):
        open_samples(write(tmp_path, "", "pets.xls"))
    path = tmp_path / "latin.csv"
    path.write_bytes("image,label\na.png,caf\xe9\n".encode("latin-1"))
    with pytest.raises(fk.DataError, match="is not UTF-8 text"):
        open_samples(path)


def test_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = write(tmp_path, "", "pets.parquet")
    pq.write_table(pa.table({"image": ["a.png", "b.png"], "label": [3, 1]}), path)
    samples = open_samples(path)
    assert samples.classes == ("1", "3")
    assert samples.labels == (1, 0)
    pq.write_table(pa.table({"image": ["a.png", "b.png"], "label": [1.0, None]}), path)
    with pytest.raises(fk.DataError, match=r"pets.parquet, row 1: the column 'label' is empty"):
        open_samples(path)
    pq.write_table(pa.table({"image": [b"abc"], "label": [1]}), path)
    with pytest.raises(fk.DataError, match=r"'image' holds binary.*Dataset.from_parquet"):
        open_samples(path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(fk.DataError, match=r"cannot read .*pets.parquet"):
        open_samples(path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(fk.ConfigError, match=r"pip install \"torch-fusionkit\[train\]\""):
        open_samples(path)
