"""The example on photographs, with its real checkpoints."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

import fusionkit as fk


@pytest.fixture(scope="module")
def example(shared_data: Path) -> ModuleType:
    path = Path(__file__).parents[2] / "examples" / "ants_bees.py"
    spec = importlib.util.spec_from_file_location("ants_bees", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["ants_bees"] = module
    spec.loader.exec_module(module)
    module.SHARED = shared_data
    return module


@pytest.fixture(scope="module")
def check(example: ModuleType) -> object:
    """The photographs to validate with, prepared for both branches."""
    stock = example.compose_stock(example.find_branches())
    return example.read(example.find_photographs() / "val", stock)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("branch", "ants", "bees"),
    [("squeezenet", 0.429, 0.675), ("mobilenet", 0.829, 0.831)],
)
def test_stock_classifiers_recognise_what_their_weights_can(
    example: ModuleType, check: object, branch: str, ants: float, bees: float
) -> None:
    """Two photographs more or less: decoders differ a little."""
    model = example.compose_stock({branch: example.find_branches()[branch]})
    right = (example.predict(model, check) == example.IMAGENET[check.labels]).float()
    assert right[check.labels == 0].mean().item() == pytest.approx(ants, abs=2 / 70)
    assert right[check.labels == 1].mean().item() == pytest.approx(bees, abs=2 / 83)


@pytest.mark.slow
def test_wrong_preparation_costs_accuracy(example: ModuleType) -> None:
    """So a right figure above says that padding and normalisation are those of the weights."""
    right = example.find_branches()["mobilenet"]
    wrong = fk.Branch(right.backbone, weights=right.weights, preprocessing=fk.Preprocessing())
    accuracies = []
    for branch in (right, wrong):
        model = example.compose_stock({"mobilenet": branch})
        data = example.read(example.find_photographs() / "val", model)
        named = example.predict(model, data)
        accuracies.append((named == example.IMAGENET[data.labels]).float().mean().item())
    assert accuracies[0] > accuracies[1] + 0.05


@pytest.mark.slow
def test_the_average_lies_between_what_both_say(example: ModuleType, check: object) -> None:
    branches = example.find_branches()
    rows = torch.arange(0, len(check.labels), 20)
    with torch.no_grad():
        answers = []
        for chosen in (
            {"squeezenet": branches["squeezenet"]},
            {"mobilenet": branches["mobilenet"]},
            branches,
        ):
            model = example.compose_stock(chosen).eval()
            answers.append(model(check.for_model(model, rows)).softmax(1))
    torch.testing.assert_close(answers[2], (answers[0] + answers[1]) / 2)


@pytest.mark.slow
def test_a_frozen_and_a_thawed_network_learn_together(example: ModuleType, check: object) -> None:
    """On a few photographs: the thawed branch moves, the frozen does not, the loss falls."""
    torch.manual_seed(0)
    rows = torch.arange(0, len(check.labels), 8)
    few = example.Photographs({n: x[rows] for n, x in check.inputs.items()}, check.labels[rows])
    model = fk.compose(example.find_branches(), fk.Head("concat"), num_classes=2)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    example.train(model, few, epochs=3)
    moved = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert not any(key.startswith("branches.squeezenet") for key in moved)
    assert any(key.startswith("branches.mobilenet") for key in moved)
    assert (example.predict(model, few) == few.labels).float().mean() > 0.9


def test_without_shared_data_it_would_download(
    example: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Provider's own weights, and the photographs from where PyTorch's tutorial has them."""
    import zipfile

    archive = tmp_path / "served.zip"
    with zipfile.ZipFile(archive, "w") as photographs:
        photographs.writestr("hymenoptera_data/train/ants/1.jpg", b"")
    asked = []

    def serve(url: str) -> tuple[str, None]:
        asked.append(url)
        return str(archive), None

    monkeypatch.setattr(example, "SHARED", tmp_path / "nowhere")
    monkeypatch.setattr(example, "urlretrieve", serve)
    monkeypatch.chdir(tmp_path)
    assert (example.find_photographs() / "train" / "ants" / "1.jpg").is_file()
    example.find_photographs()
    assert asked == ["https://download.pytorch.org/tutorial/hymenoptera_data.zip"]
    branches = example.find_branches()
    assert branches["squeezenet"].weights == "default"
    assert branches["mobilenet"] == fk.Branch(
        "timm/mobilenetv2_100.ra_in1k",
        freeze=branches["mobilenet"].freeze,
        lr=branches["mobilenet"].lr,
    )
