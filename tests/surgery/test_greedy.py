"""A greedy soup is never worse than its best model."""

from __future__ import annotations

import pytest
import torch
from surgery_toys import CATALOG, assert_same, fused, tensors_of

import fusionkit as fk


def at(value):
    """Gives a model whose score is decided by one of its parameters."""
    model = fused()
    with torch.no_grad():
        model.head.out["rgb"].bias[0] = value
    return model


def near_one(model):
    assert not model.training
    return -abs(model.head.out["rgb"].bias[0].item() - 1)


def test_models_stay_that_make_it_no_worse(tmp_path):
    values = (5.0, 0.0, 1.5, 0.25)
    models = [at(value) for value in values]
    models[0] = fk.save(models[0], tmp_path / "first")
    soup = fk.greedy_soup(models, near_one, catalog=CATALOG)
    # 1.5 alone is .5 off; with .25 it is .125 off; with 0 .4167 off, with 5 even more
    assert soup.chosen == (2, 3)
    assert soup.score == pytest.approx(-0.125)
    assert soup.scores == pytest.approx((-4, -1, -0.5, -0.75))
    by_hand = fk.average([models[2], models[3]])
    assert_same(tensors_of(soup.model), tensors_of(by_hand))


def test_equal_scores_are_taken_as_in_the_paper():
    soup = fk.greedy_soup([at(0.0), at(1.0), at(2.0)], lambda model: 0.5)
    assert soup.chosen == (0, 1, 2)


def test_the_models_themselves_are_not_touched():
    models = [at(0.0), at(2.0)]
    before = [tensors_of(model) for model in models]

    def spoil(model):
        score = near_one(model)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
        return torch.tensor(score)

    soup = fk.greedy_soup(models, spoil)
    assert soup.score == 0
    for model, was in zip(models, before, strict=True):
        assert_same(tensors_of(model), was)
    assert_same(tensors_of(soup.model), tensors_of(fk.average(models)))


@pytest.mark.parametrize("score", [None, "1", float("nan"), float("inf"), True], ids=str)
def test_a_score_is_a_finite_number(score):
    with pytest.raises(fk.ConfigError, match="score must give a finite number"):
        fk.greedy_soup([fused()], lambda model: score)


@pytest.mark.parametrize("models", [[], "folder", None], ids=str)
def test_there_must_be_models(models):
    with pytest.raises(fk.ConfigError, match="greedy_soup takes a list of models"):
        fk.greedy_soup(models, near_one)
