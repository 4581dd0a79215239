"""``predict``: an answer for each sample, as its batch is done; broken ones have a cause."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from run_toys import CATALOG, job_of, put_picture, truncate

import fusionkit as fk
from fusionkit.errors import CheckpointError, ConfigError, DataError
from fusionkit.runs.predict import Prediction, class_names, predict
from fusionkit.runs.prediction_file import write_csv, write_predictions

CLASSES = ("dark", "light")


@pytest.fixture(scope="module")
def model():
    recipe = job_of(None, recipe={"num_classes": 2, "classes": CLASSES}).recipe
    torch.manual_seed(0)
    return fk.compose(recipe, catalog=CATALOG)


@pytest.fixture
def pictures(tmp_path):
    """Gives a folder of five pictures, of which the last but one is cut off."""
    for number in range(5):
        put_picture(tmp_path / "pictures" / f"{number}.png", 40 * number, number)
    truncate(tmp_path / "pictures" / "3.png")
    return tmp_path / "pictures"


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_each_sample_has_an_answer_in_their_order_and_a_broken_one_a_cause(
    model, pictures, batch_size
):
    found = list(predict(model, pictures, broken="skip", batch_size=batch_size))
    assert [each.id for each in found] == [f"{number}.png" for number in range(5)]
    good = [each for each in found if each.label is not None]
    assert len(good) == 4
    for each in good:
        assert sum(each.probabilities) == pytest.approx(1)
        assert each.probabilities[each.label] == max(each.probabilities)
        assert each.cause == ""
    assert (found[3].label, found[3].probabilities) == (None, ())
    assert "3.png is damaged or truncated" in found[3].cause


def test_the_answers_are_the_model_s_own(model, pictures):
    (found,) = predict(model, pictures / "1.png")
    from PIL import Image

    transform = model.branches["a"].preprocessing.transform()
    with torch.no_grad(), Image.open(pictures / "1.png") as image:
        wanted = model.eval()(transform(image)[None]).softmax(1)[0]
    assert found.probabilities == pytest.approx(wanted.tolist(), abs=1e-6)
    assert found.id == str(pictures / "1.png")


def test_rows_come_before_all_samples_are_read(model, pictures):
    """The picture that stops it is in the second batch."""
    rows = predict(model, pictures, batch_size=2)
    assert [next(rows).id, next(rows).id] == ["0.png", "1.png"]
    with pytest.raises(DataError, match=r"3\.png is damaged .*\(broken: skip\)"):
        next(rows)


def test_between_two_rows_nothing_of_the_caller_s_is_changed(model, pictures):
    inside = fk.compose(replace(model.recipe, preprocess="inside"), catalog=CATALOG).train()
    recipe, prepare = inside.recipe, inside.prepare
    for _ in predict(inside, pictures, broken="skip", batch_size=2):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
        assert inside.training
        assert (inside.recipe, inside.prepare) == (recipe, prepare)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_all_may_be_broken(model, pictures, batch_size):
    for path in pictures.iterdir():
        path.write_bytes(b"")
    found = list(predict(model, pictures, broken="skip", batch_size=batch_size))
    assert [(each.id, each.label) for each in found] == [(f"{n}.png", None) for n in range(5)]


def test_what_cannot_be_opened_is_said_at_once(model, tmp_path, pictures):
    with pytest.raises(DataError, match="there is no folder or file"):
        predict(model, tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="there is no folder"):
        predict(tmp_path / "nowhere", pictures)


def test_classes_without_names_are_numbers():
    model = SimpleNamespace(recipe=SimpleNamespace(num_classes=3, classes=()))
    assert class_names(model) == ("0", "1", "2")


ROWS = [
    Prediction("a.png", 1, (0.25, 0.75)),
    Prediction("b,c.png", None, (), "it is damaged"),
]
COLUMNS = ["id", "prediction", "probability", "p_dark", "p_light", "error"]


def test_a_csv_file_has_a_column_for_each_class(tmp_path):
    path = tmp_path / "out.csv"
    assert write_predictions(path, ROWS, CLASSES) == 2
    with path.open(newline="") as file:
        assert list(csv.reader(file)) == [
            COLUMNS,
            ["a.png", "light", "0.75", "0.25", "0.75", ""],
            ["b,c.png", "", "", "", "", "it is damaged"],
        ]
    assert [each.name for each in tmp_path.iterdir()] == ["out.csv"]


def test_a_parquet_file_has_numbers_and_nothing_where_there_is_none(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "out.parquet"
    assert write_predictions(path, ROWS, CLASSES) == 2
    table = parquet.read_table(path)
    assert table.column_names == COLUMNS
    assert table.to_pylist() == [
        {
            "id": "a.png",
            "prediction": "light",
            "probability": 0.75,
            "p_dark": 0.25,
            "p_light": 0.75,
            "error": None,
        },
        {**dict.fromkeys(COLUMNS), "id": "b,c.png", "error": "it is damaged"},
    ]


def test_lines_are_written_as_they_come():
    file = io.StringIO()
    seen = []

    def rows():
        for row in ROWS:
            seen.append(file.getvalue().count("\n"))
            yield row

    assert write_csv(file, rows(), CLASSES) == 2
    assert seen == [1, 2]


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_what_fails_in_the_midst_leaves_the_file_that_was_there(tmp_path, name):
    pytest.importorskip("pyarrow")
    path = tmp_path / name
    path.write_text("before")

    def rows():
        yield ROWS[0]
        raise DataError("no more")

    with pytest.raises(DataError, match="no more"):
        write_predictions(path, rows(), CLASSES)
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_where_it_cannot_be_written_and_what_is_no_table(tmp_path):
    with pytest.raises(DataError, match=r"cannot write .*out\.csv"):
        write_predictions(tmp_path / "no" / "out.csv", ROWS, CLASSES)
    with pytest.raises(ConfigError, match=r"to a \.csv or \.parquet file, got out\.xlsx"):
        write_predictions(tmp_path / "out.xlsx", ROWS, CLASSES)
