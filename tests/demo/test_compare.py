"""Training, comparing and choosing, with the backbones that ship along."""

from __future__ import annotations

import pytest
import torch

import fusionkit as fk
from fusionkit.demo.backbones import SOURCES, WEIGHTS, branches, contenders
from fusionkit.demo.compare import Outcome, compare, winner
from fusionkit.demo.digits import NEW, Digits, draw_task
from fusionkit.demo.train import Score, fit, score

TITLES = [
    "convnet alone, frozen",
    "transformer alone, thawed",
    "average of both",
    "concatenation of both",
]


@pytest.fixture(autouse=True)
def one_thread() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits.read()


def outcome(title: str, accuracies: list[float], losses: list[float], test: float) -> Outcome:
    validation = tuple(Score(a, b) for a, b in zip(accuracies, losses, strict=True))
    return Outcome(title, None, validation, (Score(test, 0.0),), 1, 1.0)


def test_the_winner_is_chosen_on_validation_images_and_never_on_held_out_ones() -> None:
    good = outcome("good", [0.9, 0.8], [1.0, 1.0], test=0.1)
    lucky = outcome("lucky", [0.8, 0.8], [0.1, 0.1], test=1.0)
    assert winner([lucky, good]) is good
    assert winner([good, lucky]) is good


def test_equal_accuracies_are_told_apart_by_loss() -> None:
    sure = outcome("sure", [0.9], [0.1], test=0.5)
    unsure = outcome("unsure", [0.9], [0.2], test=0.9)
    assert winner([unsure, sure]) is sure


def test_the_weights_that_ship_are_a_few_megabytes() -> None:
    sizes = [(WEIGHTS / source.file).stat().st_size for source in SOURCES.values()]
    assert sum(sizes) < 4e6


def test_the_weights_say_where_they_come_from() -> None:
    from safetensors import safe_open

    for source in SOURCES.values():
        with safe_open(WEIGHTS / source.file, "pt") as file:
            metadata = file.metadata()
        assert metadata["model"] == source.backbone
        assert metadata["licence"] == "Apache-2.0"
        assert "CC BY 4.0" in metadata["data"]
        assert '"mean": [0.3]' in metadata["preprocessing"]


def test_the_four_contenders_differ_in_their_fusion_alone() -> None:
    compared = contenders(30)
    assert [contender.title for contender in compared] == TITLES
    both = branches(30)
    for contender in compared:
        assert all(branch == both[name] for name, branch in contender.branches.items())


@pytest.mark.parametrize("epochs", [1, 6, 30])
def test_the_convnet_never_learns_and_all_of_the_transformer_does_in_the_end(epochs: int) -> None:
    model = fk.compose(branches(epochs), fk.Head("concat"), len(NEW), preprocess="inside")
    model.train().set_epoch(epochs - 1)
    assert not any(p.requires_grad for p in model.branches["convnet"].parameters())
    if epochs > 1:
        assert all(p.requires_grad for p in model.branches["transformer"].parameters())
        model.set_epoch(0)
        assert not any(p.requires_grad for p in model.branches["transformer"].parameters())


def test_pretraining_is_worth_something(digits: Digits) -> None:
    """With few labels, a head on the pretrained features beats one on random features."""
    task = draw_task(digits, 10, seed=0)
    accuracies = {}
    for name, branch in branches(20).items():
        for weights in (branch.weights, None):
            frozen = fk.Branch(
                branch.backbone,
                weights=weights,
                in_channels=1,
                freeze=fk.Freeze.all(),
                preprocessing=branch.preprocessing,
                options=branch.options,
            )
            torch.manual_seed(0)
            model = fk.compose({name: frozen}, fk.Head("concat"), len(NEW), preprocess="inside")
            fit(model, task.train, epochs=20, seed=0)
            accuracies[name, weights is not None] = score(model, task.test).accuracy
    for name in SOURCES:
        assert accuracies[name, True] > accuracies[name, False] + 0.1


def test_training_leaves_the_frozen_branch_as_it_was_and_moves_the_other(digits: Digits) -> None:
    torch.manual_seed(0)
    model = fk.compose(branches(3), fk.Head("concat"), len(NEW), preprocess="inside")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    fit(model, draw_task(digits, 4, seed=0).train, epochs=3, seed=0)
    moved = {
        key for key, value in model.state_dict().items() if not torch.equal(value, before[key])
    }
    assert not any(key.startswith("branches.convnet") for key in moved)
    assert any(key.startswith("branches.transformer") for key in moved)
    assert any(key.startswith("head") for key in moved)
    assert not model.training


def test_the_same_seed_gives_the_same_model_whatever_ran_before(digits: Digits) -> None:
    compared = [contenders(2)[3]]
    state = torch.get_rng_state()
    first = compare(compared, digits, labels_per_class=3, epochs=2, seeds=[5])
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    again = compare(compared, digits, labels_per_class=3, epochs=2, seeds=[5])
    other = compare(compared, digits, labels_per_class=3, epochs=2, seeds=[6])
    one, two = first[0].model.state_dict(), again[0].model.state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert first[0].test == again[0].test
    assert first[0].validation != other[0].validation


def test_progress_is_told_for_each_model_and_epoch(digits: Digits) -> None:
    started: list[str] = []
    ticks: list[int] = []
    compare(
        contenders(2)[:2],
        digits,
        labels_per_class=2,
        epochs=2,
        seeds=[0, 1],
        on_start=started.append,
        after_epoch=lambda: ticks.append(1),
    )
    assert started == TITLES[:2]
    assert len(ticks) == 2 * 2 * 2
