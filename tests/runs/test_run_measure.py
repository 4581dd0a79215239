"""Scores by hand, and how ``evaluate`` chooses samples."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from run_toys import CATALOG, job_of, put_pictures, truncate

import fusionkit as fk
from fusionkit.errors import DataError
from fusionkit.runs.evaluate import evaluate
from fusionkit.runs.measure import Score, measure

pytest.importorskip("torchmetrics", reason="needs pip install 'torch-fusionkit[train]'")

LOGITS = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [3.0, 0.0, 0.0], [9.0, 9.0, 9.0]])
LABELS = torch.tensor([0, 1, 1, 0])


class Answers(torch.nn.Module):
    """Answers with what it is given, as a model of three classes."""

    recipe = SimpleNamespace(num_classes=3)

    def forward(self, inputs, features):
        assert not self.training
        return inputs


def batch(rows, counted=None, labels=LABELS, broken=()):
    marks = torch.ones(len(LOGITS[rows]), dtype=torch.bool) if counted is None else counted
    return SimpleNamespace(
        inputs=LOGITS[rows],
        features={},
        labels=None if labels is None else labels[rows],
        counted=marks,
        broken=broken,
    )


def test_a_score_is_what_one_gets_by_hand():
    model = Answers().train()
    filler = torch.tensor([True, False])  # the last row only fills the batch up
    batches = [batch(slice(0, 2)), batch(slice(2, 4), filler, broken=(("x", "damaged"),))]
    score = measure(model, batches)
    assert score.samples == 3
    assert score.accuracy == pytest.approx(2 / 3)
    assert score.confusion == ((1, 0, 0), (1, 1, 0), (0, 0, 0))
    assert score.by_class[:2] == (1.0, 0.5)
    assert math.isnan(score.by_class[2])
    assert score.balanced_accuracy == pytest.approx(0.75)
    loss = torch.nn.functional.cross_entropy(LOGITS[:3], LABELS[:3])
    assert score.loss == pytest.approx(loss.item())
    sure = LOGITS[:3].softmax(1).amax(1)
    apart = (sure - torch.tensor([1.0, 1.0, 0.0])).abs()
    assert score.calibration_error == pytest.approx(apart.mean().item())  # a bin for each
    assert score.broken == (("x", "damaged"),)
    assert model.training
    text = json.dumps(score.to_data(), allow_nan=False)  # which knows no NaN
    assert json.loads(text)["by_class"] == [1.0, 0.5, None]
    again = Score.from_data(json.loads(text))
    assert math.isnan(again.by_class[2])
    assert replace(again, by_class=()) == replace(score, by_class=())


def test_samples_without_labels_and_none_at_all_are_refused():
    with pytest.raises(DataError, match="samples without labels cannot be measured; predict"):
        measure(Answers(), [batch(slice(0, 2), labels=None)])
    with pytest.raises(DataError, match="there are no samples to measure"):
        measure(Answers(), [])


@pytest.fixture(scope="module")
def model():
    recipe = job_of(None, recipe={"num_classes": 2, "classes": ("dark", "light")}).recipe
    torch.manual_seed(0)
    return fk.compose(recipe, catalog=CATALOG)


def test_the_test_split_comes_before_the_validation_split(model, tmp_path):
    pictures = put_pictures(tmp_path, train=2, val=1)
    assert evaluate(model, pictures).samples == 2
    assert evaluate(model, pictures, "train").samples == 4
    (pictures / "val").rename(pictures / "test")
    assert evaluate(model, pictures).samples == 2
    assert evaluate(model, pictures / "train").samples == 4


def test_classes_that_the_model_does_not_know_are_refused(model, tmp_path):
    pictures = put_pictures(tmp_path, ("dark", "light", "mid"), train=1, val=1)
    with pytest.raises(DataError, match=r"the label 'mid' is none of the 2 classes"):
        evaluate(model, pictures)


def test_a_broken_sample_stops_it_or_is_named(model, tmp_path):
    pictures = put_pictures(tmp_path, train=1, val=3)
    truncate(pictures / "val" / "light" / "1.png")
    with pytest.raises(DataError, match=r"1\.png is damaged"):
        evaluate(model, pictures)
    score = evaluate(model, pictures, broken="skip")
    assert score.samples == 5
    assert [name for name, _ in score.broken] == ["val/light/1.png"]


@pytest.mark.parametrize("batch_size", [1, 2])
def test_any_number_of_samples_may_be_broken(model, tmp_path, batch_size):
    pictures = put_pictures(tmp_path, train=1, val=3)
    for number in range(3):
        truncate(pictures / "val" / "light" / f"{number}.png")
    score = evaluate(model, pictures, broken="skip", batch_size=batch_size)
    assert score.samples == 3
    assert [name for name, _ in score.broken] == [f"val/light/{number}.png" for number in range(3)]
    for number in range(3):
        truncate(pictures / "val" / "dark" / f"{number}.png")
    message = r"no samples to measure; 6 cannot be read: sample 'val/dark/0.png': .* is damaged"
    with pytest.raises(DataError, match=message):
        evaluate(model, pictures, broken="skip", batch_size=batch_size)


def test_without_names_the_classes_are_compared_by_their_number(tmp_path):
    nameless = fk.compose(job_of(None, recipe={"num_classes": 3}).recipe, catalog=CATALOG)
    three = put_pictures(tmp_path / "3", ("dark", "light", "mid"), train=1, val=1)
    assert evaluate(nameless, three).samples == 3
    two = put_pictures(tmp_path / "2", train=1, val=1)
    message = r"tells 3 classes apart and names none, but .* has 2 \(dark, light\): labels would"
    with pytest.raises(DataError, match=message):
        evaluate(nameless, two)
