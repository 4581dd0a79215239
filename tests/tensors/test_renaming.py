"""What stands before the names of a file is found by evidence, or nearly found and told."""

from __future__ import annotations

import pytest

from fusionkit.tensors.renaming import (
    Renaming,
    explain_renaming,
    find_renamings,
    nearest_renaming,
    rename,
)

OURS = {
    "stem.weight": (4, 3),
    "stem.bias": (4,),
    "layer.0.conv.weight": (4, 4),
    "layer.1.conv.weight": (4, 4),
    "fc.weight": (2, 4),
}

WORDS = [
    "module.",
    "model.",
    "_orig_mod.",
    "module._orig_mod.",
    "backbone.",
    "encoder_q.",
    "state_dict_ema.",
    "branches.rgb.trunk.",
    "layer.",
]


def prefixed(before, names=OURS):
    return {before + name: shape for name, shape in names.items()}


def test_names_that_fit_need_no_renaming():
    (found,) = find_renamings(OURS, OURS)
    assert found == Renaming()
    assert found.as_prefixes() == {}
    assert find_renamings({**prefixed("ema."), **OURS, "extra": (1,)}, OURS) == [Renaming()]


@pytest.mark.parametrize("word", WORDS)
def test_words_before_the_names_are_found(word):
    theirs = {**prefixed(word), "optimizer.step": (), "head.weight": (9, 9)}
    (found,) = find_renamings(theirs, OURS)
    assert found.as_prefixes() == {word: ""}
    back = rename(list(theirs), found.as_prefixes())
    assert {back[name] for name in theirs} >= set(OURS)


@pytest.mark.parametrize("word", WORDS)
def test_words_that_the_file_lacks_are_found(word):
    (found,) = find_renamings(OURS, prefixed(word))
    assert found.as_prefixes() == {"": word}


def test_words_that_take_the_place_of_others_are_found():
    theirs = {**prefixed("backbone."), "head.weight": (9, 9)}
    (found,) = find_renamings(theirs, prefixed("features."))
    assert found.as_prefixes() == {"backbone.": "features."}
    (found,) = find_renamings(prefixed("net.features."), prefixed("features."))
    assert found.as_prefixes() == {"net.": ""}


def test_what_only_stands_before_goes_before_what_takes_a_place():
    ours = prefixed("net.")
    theirs = {**prefixed("module.net."), **prefixed("module.net_ema.")}
    assert find_renamings(theirs, ours) == [Renaming(strip="module.")]


def test_several_beginnings_are_told_and_not_taken():
    theirs = {f"net.{name.replace('layer.', 'blocks.')}": shape for name, shape in OURS.items()}
    assert find_renamings(theirs, OURS) == []
    whole = {"net.blocks.": "layer.", "net.": ""}
    assert nearest_renaming(theirs, OURS) == whole
    assert {*rename(list(theirs), whole).values()} == {*OURS}
    assert f"write Weights(..., rename={whole!r})" in explain_renaming(theirs, OURS)
    del theirs["net.fc.weight"]  # then they would be a guess
    assert nearest_renaming(theirs, OURS) == {}


def test_a_classifier_is_known_by_its_width():
    theirs = {name.replace("fc.", "net.head."): shape for name, shape in OURS.items()}
    ours = {**OURS, "fc.bias": (2,)}
    theirs["net.head.bias"] = (2,)
    assert nearest_renaming(theirs, ours, outputs=2) == {"net.head.": "fc."}
    told = explain_renaming({f"net.{n}": s for n, s in OURS.items() if n[:2] != "fc"}, OURS, 2)
    assert "'fc.weight' is missing: it has no classifier of 2 classes" in told
    theirs = {f"net.{name}": shape for name, shape in OURS.items() if name != "stem.weight"}
    assert "no classifier" not in explain_renaming(theirs, OURS, outputs=2)


def test_names_that_stay_are_not_renamed():
    theirs = {name if name.startswith("stem") else f"net.{name}" for name in OURS}
    shapes = {name: OURS[name.removeprefix("net.")] for name in theirs}
    assert nearest_renaming(shapes, OURS) == {"net.": ""}


def test_another_shape_is_no_evidence():
    theirs = {**prefixed("small."), "small.fc.weight": (3, 4), **prefixed("large.")}
    assert find_renamings(theirs, OURS) == [Renaming(strip="large.")]


def test_two_sets_are_both_given():
    theirs = {**prefixed("encoder_q."), **prefixed("encoder_k.")}
    assert {each.strip for each in find_renamings(theirs, OURS)} == {"encoder_q.", "encoder_k."}


def test_a_missing_tensor_is_named_with_the_nearest_renaming():
    theirs = prefixed("module.")
    del theirs["module.fc.weight"]
    assert find_renamings(theirs, OURS) == []
    told = explain_renaming(theirs, OURS)
    assert "with rename={'module.': ''} it has 4 of the 5 tensors" in told
    assert "'fc.weight' is missing" in told
    theirs["module.fc.weight"] = (7, 4)
    told = explain_renaming(theirs, OURS)
    assert "'fc.weight' has shape (7, 4) in the file, (2, 4) in the model" in told


def test_of_another_shape_it_is_told_that_it_can_be_resized():
    ours = {"pos": (1, 197, 6), "a.weight": (3, 3), "b.weight": (3, 3)}
    theirs = {f"module.{name}": shape for name, shape in ours.items()}
    theirs["module.pos"] = (1, 101, 6)
    hint = explain_renaming(theirs, ours)
    assert hint.endswith("Weights(..., rename={'module.': ''}, resize=['pos'])")


def test_what_is_not_near_is_not_told():
    assert explain_renaming({"a.b": (1,)}, OURS) == ""
    assert explain_renaming({"x.stem.bias": (4,)}, OURS) == ""
    almost = {name: shape for name, shape in OURS.items() if name != "fc.weight"}
    assert explain_renaming(almost, OURS) == ""


def test_many_names_take_no_time():
    ours = {f"layer.{i}.weight": (1,) for i in range(5000)}
    (found,) = find_renamings(prefixed("module.", ours), ours)
    assert found.strip == "module."
    assert find_renamings({f"other.{i}": (1,) for i in range(5000)}, ours) == []


def test_the_longest_beginning_counts():
    names = ["a.x", "a.b.x", "c"]
    assert rename(names, {"a.": "A.", "a.b.": ""}) == {"a.x": "A.x", "a.b.x": "x", "c": "c"}
    assert rename(names, {"": "z."}) == {name: "z." + name for name in names}
    assert rename(names, {}) == {name: name for name in names}
