"""A job's file: what is read is what was written."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_toys import job_of

import fusionkit as fk
from fusionkit.errors import ConfigError
from fusionkit.runs.job_file import format_job, job_from_data, job_to_data, read_job
from fusionkit.runs.settings import DataSettings, Job, Named, TrainingSettings

RECIPE = {"branches": {"a": "toy/tiny"}, "head": "toy/sum"}

TRAINING = st.builds(
    TrainingSettings,
    epochs=st.integers(0, 10**6),
    batch_size=st.integers(1, 4096),
    lr=st.floats(1e-12, 1e12),
    weight_decay=st.floats(0, 1e6),
    optimizer=st.sampled_from([Named("sgd"), Named("adamw", {"betas": [0.9, 0.5]})]),
    schedule=st.sampled_from([Named("cosine", {"warmup_epochs": 1.5}), Named("plateau")]),
    label_smoothing=st.floats(0, 0.999),
    clip=st.none() | st.floats(1e-6, 1e6),
    ema=st.none() | st.floats(0, 0.99999),
    monitor=st.sampled_from(["val_loss", "val_accuracy"]),
    patience=st.none() | st.integers(1, 100),
    cache=st.booleans(),
    cache_views=st.integers(1, 9),
    fit_head=st.sampled_from(["auto", "train", "val", "never"]),
)
DATA = st.builds(
    DataSettings,
    source=st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1),
    train=st.sampled_from(["train", "on", "1e-4"]),
    val_share=st.floats(0.001, 0.999),
    exact=st.booleans(),
    texts=st.lists(st.text(min_size=1, max_size=4), max_size=3).map(tuple),
    augment=st.sampled_from([False, True, {"flip": 0.5, "crop": [0.5, 1.0]}]),
    broken=st.sampled_from(["stop", "skip"]),
    workers=st.integers(0, 64),
)


@given(training=TRAINING, data=DATA, form=st.sampled_from(["yaml", "json"]))
def test_what_is_written_is_read_back_equal(tmp_path_factory, training, data, form):
    job = Job(job_of(None).recipe, data, training)
    path = tmp_path_factory.mktemp("job") / f"job.{form}"
    path.write_text(format_job(job, form), encoding="utf-8", newline="")
    read = read_job(path)
    if data.source is not None:
        assert read.data.source == str(path.parent / data.source)
        read = replace(read, data=replace(read.data, source=data.source))
    assert read == job


def test_what_is_not_said_is_at_its_default():
    job = job_from_data({**RECIPE, "training": None})
    assert (job.data, job.training) == (DataSettings(), TrainingSettings())
    assert job.recipe == fk.Recipe({"a": fk.Branch("toy/tiny")}, fk.Head("toy/sum"))


def test_an_optimizer_may_be_only_a_name():
    data = {**RECIPE, "training": {"optimizer": "sgd", "schedule": {"name": "constant"}}}
    job = job_from_data(data)
    assert job.training.optimizer == Named("sgd")
    assert job_to_data(job)["training"]["optimizer"] == "sgd"


def test_paths_are_relative_to_the_file(tmp_path):
    path = tmp_path / "job.json"
    path.write_text(format_job(job_of(None, data={}), "json"))
    assert read_job(path, ["data.source=pictures"]).data.source == str(tmp_path / "pictures")
    absolute = tmp_path / "elsewhere"
    assert read_job(path, [f"data.source={absolute}"]).data.source == str(absolute)


def test_a_recipe_is_read_past_the_sections_of_a_run(tmp_path):
    job = job_of(tmp_path, epochs=7)
    path = tmp_path / "job.yaml"
    path.write_text(format_job(job))
    assert fk.read_recipe(path) == job.recipe


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"training": {"epoch": 3}}, r"file: training\.epoch.*Did you mean 'epochs'"),
        ({"training": {"lr": "3e-4"}}, r"file: training\.lr"),
        ({"training": {"epochs": 2.0}}, r"file: training\.epochs"),
        ({"training": {"monitor": "loss"}}, r"file: training\.monitor.*val_loss"),
        ({"training": {"optimizer": {"nam": "sgd"}}}, r"file: training\.optimizer"),
        ({"training": [1]}, r"file: training: must be a mapping of epochs, batch_size"),
        ({"training": {"batch_size": 0}}, r"file: training.*batch_size is a whole number"),
        ({"data": {"broken": "ignore"}}, r"file: data\.broken.*stop"),
        ({"data": {"sources": "x"}}, r"file: data\.sources.*Did you mean 'source'"),
        ({"trainin": {}}, r"file: trainin"),
    ],
)
def test_a_wrong_field_is_named_with_its_file_and_path(sections, said):
    with pytest.raises(ConfigError, match=said):
        job_from_data({**RECIPE, **sections}, "file")


def test_what_is_no_mapping_is_refused_as_a_recipe_is():
    with pytest.raises(ConfigError, match="file"):
        job_from_data([1, 2], "file")
