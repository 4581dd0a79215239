"""A card says what was measured on what, or is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest

import fusionkit as fk


def test_lists_are_kept_as_tuples_and_mappings_as_copies() -> None:
    metrics = {"accuracy": 0.9}
    card = fk.ModelCard(dataset="pets", metrics=metrics, tags=["a"], classes=["cat", "dog"])
    metrics["accuracy"] = 1.0
    assert card.metrics == {"accuracy": 0.9}
    assert (card.tags, card.classes) == (("a",), ("cat", "dog"))


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"name": "pets"}, "ModelCard.name is 'owner/name', got 'pets'"),
        ({"name": "../pets"}, "ModelCard.name is 'owner/name'"),
        ({"name": "a/b/c"}, "ModelCard.name is 'owner/name'"),
        ({"license": "a\nb: c"}, "ModelCard.license is one line of text"),
        ({"license": ""}, "ModelCard.license is one line of text"),
        ({"dataset": 3}, "ModelCard.dataset is one line of text"),
        ({"task": ["x"]}, "ModelCard.task is one line of text"),
        ({"tags": "one"}, "ModelCard.tags is a list of texts, got 'one'"),
        ({"language": [None]}, "ModelCard.language is a list of texts"),
        ({"classes": [1, 2]}, "ModelCard.classes is a list of texts"),
        ({"description": None}, "ModelCard.description is a text"),
        ({"metrics": [0.9], "dataset": "x"}, "finite numbers by name, for example {'accuracy'"),
        ({"metrics": {"accuracy": "0.9"}, "dataset": "x"}, "finite numbers by name"),
        ({"metrics": {"loss": math.nan}, "dataset": "x"}, "finite numbers by name"),
        ({"metrics": {"right": True}, "dataset": "x"}, "finite numbers by name"),
        ({"metrics": {"accuracy": 0.9}}, "say nothing without the data they were measured on"),
    ],
)
def test_what_a_card_cannot_say_is_refused(fields: dict[str, Any], cause: str) -> None:
    with pytest.raises(fk.ConfigError, match=cause):
        fk.ModelCard(**fields)


def test_a_field_that_there_is_not_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        fk.ModelCard(licence="mit")  # type: ignore[call-arg]
