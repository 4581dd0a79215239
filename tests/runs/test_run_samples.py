"""The samples of a job, and the classes that they give its recipe."""

from __future__ import annotations

import pytest
from run_toys import job_of, put_pictures

from fusionkit.errors import ConfigError, DataError
from fusionkit.runs.samples import complete_recipe, open_job_samples


def test_classes_come_from_the_data(tmp_path):
    job = job_of(put_pictures(tmp_path))
    samples = open_job_samples(job)
    assert not samples.held_out
    assert (len(samples.train), len(samples.val)) == (12, 6)
    recipe = complete_recipe(job.recipe, samples.train.classes)
    assert (recipe.num_classes, recipe.classes) == (2, ("dark", "light"))
    assert complete_recipe(recipe, samples.train.classes) == recipe


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"num_classes": 3},
            r"num_classes is 3, but the data have 2 classes \(dark, light\); leave it out",
        ),
        (
            {"num_classes": 2, "classes": ("cat", "dog")},
            r"the recipe's classes are cat, dog, but the data's are dark, light; a label would",
        ),
        (
            {"num_classes": 2, "classes": ("light", "dark")},
            r"the recipe's classes are light, dark, but the data's are dark, light",
        ),
    ],
)
def test_a_recipe_of_other_classes_is_refused(fields, said):
    recipe = job_of(None, recipe=fields).recipe
    with pytest.raises(ConfigError, match=said):
        complete_recipe(recipe, ("dark", "light"))


def test_without_a_split_to_validate_some_of_each_class_are_held_out(tmp_path):
    pictures = put_pictures(tmp_path, train=5, val=0)
    one = open_job_samples(job_of(pictures))
    assert one.held_out
    assert (len(one.train), len(one.val)) == (8, 2)
    assert sorted(one.val.labels) == [0, 1]
    assert not set(one.train.ids) & set(one.val.ids)
    assert open_job_samples(job_of(pictures)).val.ids == one.val.ids
    seeds = {tuple(open_job_samples(job_of(pictures, seed=seed)).val.ids) for seed in range(4)}
    assert len(seeds) > 1
    more = open_job_samples(job_of(pictures, data={"val_share": 0.4}))
    assert len(more.val) == 4


def test_splits_may_have_other_names(tmp_path):
    pictures = put_pictures(tmp_path)
    (pictures / "val").rename(pictures / "test")
    samples = open_job_samples(job_of(pictures, data={"val": "test"}))
    assert not samples.held_out
    assert len(samples.val) == 6


def test_no_data_and_one_class_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"name them with --data, or as data\.source"):
        open_job_samples(job_of(None))
    pictures = put_pictures(tmp_path, ("dark",))
    with pytest.raises(DataError, match=r"split 'train' of .* has 1 class \(dark\); there must be"):
        open_job_samples(job_of(pictures))
