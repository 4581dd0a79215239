"""Models are run where one says, on a GPU where nothing is said, and are put back."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from run_toys import CATALOG, job_of, put_pictures

import fusionkit as fk
from fusionkit.errors import ConfigError
from fusionkit.runs import closing
from fusionkit.runs import evaluate as evaluating
from fusionkit.runs import fit as fitting
from fusionkit.runs import predict as predicting
from fusionkit.runs.devices import choose_device, placed, training_device

pytest.importorskip("lightning", reason="needs pip install 'torch-fusionkit[train]'")

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return put_pictures(tmp_path_factory.mktemp("pictures"), train=2, val=1)


@pytest.fixture
def model():
    recipe = job_of(None, recipe={"num_classes": 2, "classes": ("dark", "light")}).recipe
    torch.manual_seed(0)
    return fk.compose(recipe, catalog=CATALOG)


def test_what_nobody_chose_is_a_gpu_where_there_is_one(model, monkeypatch):
    for there, name in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert choose_device("auto", model).type == name
        assert [training_device(each).type for each in ("auto", "gpu", "cpu")] == [
            name,
            name,
            "cpu",
        ]
    assert choose_device("cpu", model) == CPU
    assert choose_device("auto", model.to("meta")).type == "meta"  # it lies there already


def test_a_device_that_is_not_here_is_refused(model, pictures):
    with pytest.raises(ConfigError, match=r"device='cudda' cannot be used here"):
        evaluating.evaluate(model, pictures, device="cudda")
    with pytest.raises(ConfigError, match=r"device='cudda' cannot be used here"):
        predicting.predict(model, pictures, device="cudda")  # at once, before the first answer


def test_evaluate_predict_and_fit_run_the_model_there(model, pictures, tmp_path, monkeypatch):
    seen = []

    @contextmanager
    def note(model, device):
        seen.append(device.type)
        with placed(model, CPU):
            yield model

    for room in (evaluating, predicting, closing):
        monkeypatch.setattr(room, "placed", note)
    for room in (evaluating, predicting):
        monkeypatch.setattr(room, "choose_device", lambda device, model: torch.device(device))
    monkeypatch.setattr(closing, "training_device", lambda accelerator: torch.device("xpu"))
    evaluating.evaluate(model, pictures, device="cuda")
    assert len(list(predicting.predict(model, pictures, device="mps"))) == 6
    fitting.fit(job_of(pictures, epochs=1), tmp_path / "out", catalog=CATALOG)
    assert seen == ["cuda", "mps", "xpu"]


def test_a_model_is_put_back_to_the_bit(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with placed(model, device) as moved:
        assert next(moved.parameters()).device.type == device.type
    with pytest.raises(ZeroDivisionError), placed(model, device):
        _ = 1 / 0
    for name, value in model.state_dict().items():
        assert value.device == CPU
        assert torch.equal(value, before[name])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_answers_of_the_cpu(model, pictures):
    there, here = (evaluating.evaluate(model, pictures, device=each) for each in ("auto", "cpu"))
    assert there.loss == pytest.approx(here.loss, rel=1e-3)
