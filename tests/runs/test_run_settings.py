"""Settings say what is wrong with them where they are made."""

from __future__ import annotations

import math

import pytest
from run_toys import job_of

from fusionkit.errors import ConfigError
from fusionkit.runs.settings import DataSettings, Named, TrainingSettings


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"epochs": -1}, "epochs is a whole number, at least 0; got -1"),
        ({"epochs": True}, "epochs is a whole number, at least 0; got True"),
        ({"batch_size": 0}, "batch_size is a whole number, at least 1; got 0"),
        ({"accumulate": 0}, "accumulate is a whole number, at least 1; got 0"),
        ({"seed": -3}, "seed is a whole number, at least 0; got -3"),
        ({"cache_views": -1}, "cache_views is a whole number, at least 0; got -1"),
        ({"devices": 0}, "devices is a whole number, at least 1; got 0"),
        ({"nodes": 1.5}, "nodes is a whole number, at least 1; got 1.5"),
        ({"patience": 0}, "patience is a whole number, at least 1, or null; got 0"),
        ({"save_every": 0}, "save_every is a whole number, at least 1, or null; got 0"),
        ({"lr": 0}, "lr is a positive number, got 0"),
        ({"lr": math.nan}, "lr is a positive number, got nan"),
        ({"lr": math.inf}, "lr is a positive number, got inf"),
        ({"weight_decay": -0.1}, "weight_decay is a number, zero or more, got -0.1"),
        ({"clip": 0}, "clip is the norm that gradients are cut to, .* or null; got 0"),
        (
            {
                "clip": 1.0,
                "precision": "bf16-mixed",
                "optimizer": Named("adamw", {"fused": True}),
            },
            r"clip .* a fused optimizer under precision bf16-mixed; .*options\.fused",
        ),
        ({"precision": "bf16-true"}, "would give all weights another type.*; write bf16-mixed"),
        ({"precision": "16-true"}, "frozen branches too, .*; write 16-mixed"),
        ({"precision": "64-true"}, "write 32-true"),
        ({"precision": "8-quick"}, "no precision '8-quick'; there are 32-true, bf16-mixed, 16-mi"),
        ({"precision": "8-true"}, "no precision '8-true'; there are 32-true"),
        ({"precision": 16}, "no precision 16; there are 32-true"),
        ({"label_smoothing": 1}, r"label_smoothing is a number in \[0, 1\), got 1"),
        ({"ema": 1.0}, r"ema is a number in \[0, 1\), got 1.0"),
        ({"ema": -0.5}, r"ema is a number in \[0, 1\), got -0.5"),
        ({"strategy": "fsdp"}, "fsdp shards a model over several devices; set devices"),
        ({"strategy": "fsdp", "devices": 2, "ema": 0.9}, "ema is not done to a model in shards"),
        ({"strategy": "fsdp", "devices": 2, "clip": 1.0}, "clip is not done to a model in shards"),
        ({"strategy": "fsdp", "devices": 2, "cache": True}, "cache is not done to a model in sha"),
        ({"schedule": Named("cosin")}, "there is no schedule 'cosin'.* cosine"),
    ],
)
def test_training_settings_out_of_their_range_are_refused(fields, said):
    with pytest.raises(ConfigError, match=said):
        TrainingSettings(**fields)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"val_share": 1}, "val_share is between 0 and 1, got 1"),
        ({"val_share": 0.0}, "val_share is between 0 and 1, got 0.0"),
        ({"val": "train"}, "train and val are one split, 'train'"),
        ({"workers": -1}, "workers is a whole number, at least 0; got -1"),
        ({"augment": {"flipp": True}}, "flipp"),
    ],
)
def test_data_settings_out_of_their_range_are_refused(fields, said):
    with pytest.raises(ConfigError, match=said):
        DataSettings(**fields)


def test_weight_decay_may_be_zero_and_so_may_epochs():
    settings = TrainingSettings(weight_decay=0.0, epochs=0, ema=0.0)
    assert (settings.weight_decay, settings.epochs, settings.ema) == (0.0, 0, 0.0)


def test_augmentation_is_none_unless_it_is_asked_for():
    assert not DataSettings().variation.is_random
    assert DataSettings(augment=True).variation.is_random


def test_a_cache_beside_augmentation_must_say_how_many_views_it_keeps():
    data = DataSettings(augment=True)
    with pytest.raises(ConfigError, match=r"data\.augment varies it .*training\.cache_views: 4"):
        job_of(None, cache=True, data={"augment": True})
    assert job_of(None, cache=True, cache_views=2, data={"augment": True}).data == data
