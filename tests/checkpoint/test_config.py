"""The config comes back equal, and a wrong field is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from saved_toys import toy_model

import fusionkit as fk
from fusionkit.checkpoint.config import describe, format_config, parse_config

HERE = Path("pets/config.json")


def changed(change: Any) -> str:
    config = json.loads(format_config(describe(toy_model())))
    change(config)
    return json.dumps(config)


def test_it_comes_back_equal() -> None:
    saved = describe(toy_model(epoch=7))
    assert parse_config(format_config(saved), HERE) == saved
    assert saved.epoch == 7
    assert saved.branches["flow"].stages == ("stem", "body", "top")


def test_what_a_backbone_is_rebuilt_from_comes_back_as_plain_data() -> None:
    model = toy_model()
    model.branches["rgb"].rebuild = ("tiny", {"sizes": (1, 2)})
    saved = describe(model)
    assert parse_config(format_config(saved), HERE) == saved
    assert saved.branches["rgb"].rebuild == ("tiny", {"sizes": [1, 2]})
    assert saved.branches["flow"].rebuild is None


def test_whose_weights_a_branch_began_with_comes_back_where_it_is_stated() -> None:
    model = toy_model()
    model.branches["rgb"].license, model.branches["rgb"].base_model = "mit", "owner/name"
    model.branches["flow"].license = ""
    saved = describe(model)
    assert parse_config(format_config(saved), HERE) == saved
    rgb, flow = saved.branches["rgb"], saved.branches["flow"]
    assert (rgb.license, rgb.base_model) == ("mit", "owner/name")
    assert (flow.license, flow.base_model) == (None, None)
    assert "license" not in json.loads(format_config(saved))["branches"]["flow"]


@pytest.mark.parametrize(
    ("rebuild", "cause"),
    [
        (("tiny", {"of": torch.nn.ReLU}), r"its options\.of: a type cannot stand in a file"),
        (("tiny", 3), "must be the name of a model and a mapping of options"),
        (("", {}), "must be the name of a model and a mapping of options"),
        (3, "cannot be saved"),
    ],
)
def test_what_cannot_be_rebuilt_from_names_the_branch(rebuild: Any, cause: str) -> None:
    model = toy_model()
    model.branches["rgb"].rebuild = rebuild
    with pytest.raises(fk.CheckpointError, match=f"branch 'rgb': `rebuild`.*{cause}"):
        describe(model)


def test_it_says_what_the_model_was_made_by() -> None:
    assert describe(toy_model()).made_by == (
        f"The model was saved with fusionkit {fk.__version__} and torch {torch.__version__}: "
        "'flow' from a plugin given in Python, 'rgb' from a plugin given in Python, "
        "the head from a plugin given in Python; give load a catalog that has it, as "
        "load(folder, catalog=...)"
    )


def test_types_of_buffers_that_are_not_saved_are_kept() -> None:
    model = toy_model()
    model.head.register_buffer("table", torch.ones(2, dtype=torch.float16), persistent=False)
    model.head.register_buffer("index", torch.ones(2, dtype=torch.int64), persistent=False)
    assert describe(model).dtypes == {"head.table": torch.float16}


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda c: c.pop("format"), "its format is None, which no fusionkit writes"),
        (lambda c: c.update(format=True), "its format is True"),
        (lambda c: c["branches"]["rgb"].update(license=1), "the name of license is no text"),
        (lambda c: c.pop("epoch"), "the field 'epoch' is missing or is no int"),
        (lambda c: c.update(epoch=-1), "the field 'epoch' is below 0"),
        (lambda c: c.update(epoch=True), "the field 'epoch' is missing or is no int"),
        (lambda c: c.update(epoch=1.5), "the field 'epoch' is missing or is no int"),
        (lambda c: c.update(recipe=[]), "the field 'recipe' is missing or is no dict"),
        (lambda c: c.update(branches=3), "the field 'branches' is missing or is no dict"),
        (lambda c: c.update(dtypes=None), "the field 'dtypes' is missing or is no dict"),
        (lambda c: c.update(dtypes={"a": "F33"}), "the buffer 'a' has no type that there is"),
        (lambda c: c.update(dtypes={"a": []}), "the buffer 'a' has no type that there is"),
        (lambda c: c.update(head={}), "the field 'from' is missing or is no str"),
        (lambda c: c.update(torch=2), "the field 'torch' is missing or is no str"),
        (lambda c: c["branches"].pop("rgb"), "other branches than 'branches' lists"),
        (lambda c: c["branches"].update(rgb=[]), "the field 'stages' is missing or is no list"),
        (lambda c: c["branches"]["rgb"].update(stages=[1]), "the names of stages are no text"),
        (lambda c: c["branches"]["rgb"].update(embed_dim="16"), "the field 'embed_dim' is missing"),
        (lambda c: c["branches"]["rgb"].update(weights=3), "the name of weights is no text"),
        (lambda c: c["branches"]["rgb"].update(rebuild=[]), "the field 'rebuild' is no dict"),
        (
            lambda c: c["branches"]["rgb"].update(rebuild={"name": "tiny"}),
            "the field 'options' is missing or is no dict",
        ),
        (
            lambda c: c["branches"]["rgb"].update(rebuild={"name": 3, "options": {}}),
            "the field 'name' is missing or is no str",
        ),
        (
            lambda c: c["branches"]["rgb"].update(rebuild={"name": "", "options": {}}),
            "the name in 'rebuild' is empty",
        ),
        (
            lambda c: c["branches"]["rgb"].update(rebuild={"name": "a", "options": {}, "do": 1}),
            "'rebuild' has a field 'do', which is unknown",
        ),
        (
            lambda c: c["branches"]["rgb"].update(rebuild={"name": "a", "options": {"k" * 300: 1}}),
            "the options in 'rebuild': a key of 300 characters",
        ),
        (lambda c: c["recipe"].pop("head"), r"config\.json: head: is missing"),
        (lambda c: c["recipe"]["branches"]["rgb"].update(frezze="all"), r"branches\.rgb\.frezze"),
        (lambda c: c["recipe"].update(format=9), "written in recipe format 9, but this fusionkit"),
    ],
)
def test_a_wrong_field_is_named(change: Any, cause: str) -> None:
    with pytest.raises(fk.CheckpointError, match=cause) as caught:
        parse_config(changed(change), HERE)
    assert str(HERE) in str(caught.value)


def test_a_later_format_is_refused_with_both_versions() -> None:
    text = changed(lambda c: c.update(format=2, fusionkit="7.5.0", epoch=None))
    with pytest.raises(fk.CheckpointError) as caught:
        parse_config(text, HERE)
    assert "was saved by fusionkit 7.5.0 in format 2" in str(caught.value)
    assert f"this is fusionkit {fk.__version__}" in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"format": 1, "format": 1}', "NaN"])
def test_what_is_no_config_is_refused(text: str) -> None:
    with pytest.raises(fk.CheckpointError, match=r"config\.json"):
        parse_config(text, HERE)
