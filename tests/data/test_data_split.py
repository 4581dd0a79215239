"""A split to validate, cut by id."""

from __future__ import annotations

import pytest

import fusionkit as fk
from fusionkit.data import Sample, split_samples
from fusionkit.data.sample import ListedSamples


def some(count: int, classes: int = 3) -> ListedSamples:
    samples = [Sample(f"s{n}", {"image": "x"}, n % classes) for n in range(count)]
    return ListedSamples(samples, [str(n) for n in range(classes)], ("image",), ["notes.txt"])


def test_each_class_gives_its_share():
    train, val = split_samples(some(60), 0.2)
    assert sorted(val.labels) == [0] * 4 + [1] * 4 + [2] * 4
    assert sorted((*train.ids, *val.ids)) == sorted(some(60).ids)
    assert [sample.id for sample in val] == list(val.ids)
    assert val.classes == train.classes == ("0", "1", "2")
    assert val.ignored == train.ignored == ("notes.txt",)
    assert val.content(0) == some(60).content(int(val.ids[0][1:]))


def test_who_is_held_out_depends_on_id_and_seed_alone():
    one = split_samples(some(60), 0.2)[1].ids
    reversed_samples = ListedSamples(list(some(60))[::-1], ["0", "1", "2"], ("image",))
    assert set(split_samples(reversed_samples, 0.2)[1].ids) == set(one)
    assert set(split_samples(some(60), 0.2, seed=1)[1].ids) != set(one)


def test_small_classes_are_in_both_and_single_samples_are_trained_on():
    samples = ListedSamples(
        [Sample(f"s{n}", {}, label) for n, label in enumerate((0, 0, 1))], ["a", "b"], ("image",)
    )
    train, val = split_samples(samples, 0.9)
    assert sorted(train.labels) == [0, 1]
    assert val.labels == (0,)


def test_what_cannot_be_split():
    with pytest.raises(fk.DataError, match="1 samples cannot be split: no class has two"):
        split_samples(some(1))
    for share in (0, 1, 1.5, True, "x"):
        with pytest.raises(fk.ConfigError, match="share to validate with is between 0 and 1"):
            split_samples(some(9), share)  # type: ignore[arg-type]
