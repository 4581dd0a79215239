"""Wrong values of options: what each message says and what it tells to write instead."""

from __future__ import annotations

import re

import pytest
from toy_features import NUM_CLASSES, make_inputs

import fusionkit as fk
from fusionkit.heads.parts.options import is_number, listed
from fusionkit.heads.plugin import fusionkit_heads

NAN, INF = float("nan"), float("inf")

WRONG = [
    # weights
    ("mean_logits", {"weights": {"audio": 1, "imgae": 1}}, "there is no branch 'imgae'. Did you"),
    ("mean_logits", {"weights": {"zebra": 1}}, "The branches are 'audio', 'image' and 'text'."),
    ("mean_logits", {"weights": {"audio": 1}}, "no weight for 'image' and 'text'; write weights="),
    (
        "mean_probabilities",
        {"weights": {"audio": -1, "image": 1, "text": 1}},
        "the weight of 'audio' must be a finite number, zero or positive, got -1",
    ),
    ("mean_logits", {"weights": {"audio": NAN, "image": 1, "text": 1}}, "'audio' must be"),
    ("mean_logits", {"weights": {"audio": 1, "image": INF, "text": 1}}, "'image' must be"),
    ("mean_logits", {"weights": {"audio": 1, "image": 1, "text": "1"}}, "'text' must be"),
    ("mean_logits", {"weights": {"audio": True, "image": 1, "text": 1}}, "got True"),
    ("mean_logits", {"weights": {"audio": 0, "image": 0, "text": 0}}, "sum is 0, and an average"),
    ("mean_logits", {"weights": {"audio": 1e308, "image": 1e308, "text": 1}}, "their sum is inf"),
    ("two_stream", {"weights": [0.5, 0.5]}, "weights={'audio': 0.33, 'image': 0.33"),
    (
        "two_stream",
        {"weights": "learnt"},
        "is 'equal', 'learned', 'per_class', 'fitted' or a number",
    ),
    ("two_stream", {"weights": None}, "is 'equal', 'learned', 'per_class', 'fitted' or a number"),
    # temperature
    ("mean_logits", {"temperature": 0}, "a temperature is a positive, finite number, got 0"),
    ("mean_logits", {"temperature": -2}, "got -2; write a number"),
    ("mean_logits", {"temperature": {"audio": INF}}, "for branch 'audio': a temperature"),
    ("mean_logits", {"temperature": "learnt"}, "'learned' or 'fitted'"),
    (
        "mean_logits",
        {"temperature": {"vidio": 2}},
        "temperature: there is no branch 'vidio'",
    ),
    ("mean_logits", {"temperature": True}, "got True"),
    # norm
    ("concat", {"norm": "layr"}, "is 'layer', 'batch', 'l2' or 'none', got 'layr'. Did you mean"),
    ("concat", {"norm": None}, "'l2' or 'none', got None"),
    ("concat", {"norm": {"imag": "l2"}}, "option norm: there is no branch 'imag'. Did you mean"),
    ("mean_logits", {"norm": "group"}, "option norm is 'layer'"),
    ("two_stream_maps", {"norm": "batch"}, "option norm is 'layer' or 'none', got 'batch'"),
    # widths, activation, dropout
    ("concat", {"project": 0}, "option project takes a whole number of at least 1, got 0"),
    ("concat", {"project": {"audio": 2.5}}, "at least 1, got 2.5"),
    ("concat", {"project": {"adio": 2}}, "Did you mean 'audio'?"),
    ("concat", {"hidden": -1}, "option hidden takes a whole number of at least 1, got -1"),
    ("concat", {"hidden": [8, True]}, "got True"),
    ("concat", {"hidden": "512"}, "got '512'"),
    ("concat", {"activation": "rellu"}, "Did you mean 'relu' or 'gelu'?"),
    ("concat", {"activation": 3}, "is 'relu', 'gelu', 'silu' or 'tanh', got 3"),
    ("concat", {"dropout": 1.0}, "from 0 up to but not including 1, got 1.0"),
    ("concat", {"dropout": NAN}, "got nan"),
    ("concat", {"dropout": "0.5"}, "got '0.5'"),
    # maps
    ("two_stream_maps", {"fusion": "late"}, "is 'sum', 'max', 'concat' or 'conv', got 'late'"),
    ("two_stream_maps", {"level": "last"}, "takes a whole number, -1 for the coarsest maps"),
    ("two_stream_maps", {"level": {"audoi": -1}}, "Did you mean 'audio'?"),
    ("two_stream_maps", {"width": 0}, "option width takes a whole number of at least 1, got 0"),
    ("two_stream_maps", {"width": "widest"}, "got 'widest'"),
    ("two_stream_maps", {"hidden": 1.5}, "option hidden takes a whole number"),
    ("two_stream_maps", {"dropout": -0.1}, "got -0.1"),
]


@pytest.mark.parametrize(("name", "options", "message"), WRONG, ids=str)
def test_a_wrong_value_says_what_to_write_instead(name, options, message):
    with pytest.raises(fk.ConfigError, match=re.escape(message)):
        fusionkit_heads()[name](make_inputs(), num_classes=NUM_CLASSES, **options)


def test_a_norm_for_a_branch_that_is_read_by_its_own_classifier_is_refused():
    inputs = make_inputs(2, classifiers=["image"])
    make = fusionkit_heads()["mean_probabilities"]
    make(inputs, num_classes=NUM_CLASSES, norm={"audio": "l2"})
    with pytest.raises(fk.ConfigError, match="branch 'image' is read by its own classifier"):
        make(inputs, num_classes=NUM_CLASSES, norm={"image": "l2"})


@pytest.mark.parametrize("name", ["concat", "mean_logits", "two_stream"])
def test_layer_norm_of_a_single_number_is_refused(name):
    inputs = {"one": fk.HeadInput(embed_dim=1), "two": fk.HeadInput(embed_dim=2)}
    make = fusionkit_heads()[name]
    with pytest.raises(fk.AssemblyError, match=r"'one' has vectors of width 1.*\{'one': 'batch'\}"):
        make(inputs, num_classes=3)
    make(inputs, num_classes=3, norm={"one": "batch"})


def test_maps_of_a_branch_without_levels_are_refused():
    inputs = {**make_inputs(2), "words": fk.HeadInput(embed_dim=4)}
    message = "branch 'words' has no maps.*'concat' or 'two_stream'"
    with pytest.raises(fk.AssemblyError, match=message):
        fusionkit_heads()["two_stream_maps"](inputs, num_classes=3)


@pytest.mark.parametrize("level", [2, -3])
def test_a_level_that_a_branch_has_not_is_refused(level):
    message = rf"branch 'image' has no level {level}: it has 2 levels of maps, so level is -2 to 1"
    with pytest.raises(fk.AssemblyError, match=message):
        fusionkit_heads()["two_stream_maps"](make_inputs(2), num_classes=3, level={"image": level})


def test_long_lists_are_cut():
    assert listed(["a"]) == "'a'"
    assert listed(["a", "b"], "or") == "'a' or 'b'"
    assert listed([str(i) for i in range(20)]) == "'0', '1', '2', '3', ..., '17', '18' and '19'"


@pytest.mark.parametrize("value", [True, "1", None, NAN, INF, -INF, 10**400, [1]])
def test_what_is_no_number(value):
    assert not is_number(value)


def test_what_is_a_number():
    assert all(is_number(value) for value in (0, -3, 2.5, 10**300))
