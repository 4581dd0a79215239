"""What the model does to raw images is what the weights' own transform does."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from odd_toys import branch, build
from PIL import Image

import fusionkit as fk
from fusionkit.model.prepare import CHECKED_BATCHES, Prepare

SHAPES = [(60, 80), (80, 60), (64, 64), (33, 90)]
CASES = {
    "shorter side, crop": fk.Preprocessing(size=(32, 32), resize=40),
    "crop equal to side": fk.Preprocessing(size=(32, 32), resize=32),
    "not square": fk.Preprocessing(size=(24, 40), resize=(30, 50)),
    "straight to size": fk.Preprocessing(size=(28, 36)),
    "bicubic": fk.Preprocessing(size=(32, 32), resize=36, interpolation="bicubic"),
    "nearest": fk.Preprocessing(size=(32, 32), resize=36, interpolation="nearest"),
    "smaller than the crop": fk.Preprocessing(size=(51, 46), resize=33),
    "odd margins": fk.Preprocessing(size=(31, 30), resize=40),
    "own statistics": fk.Preprocessing(size=(32, 32), mean=(0.5, 0.4, 0.3), std=(0.5, 0.2, 0.1)),
}


def photograph(height: int, width: int) -> torch.Tensor:
    """Gives a smooth image with noise, "c h w", uint8."""
    generator = torch.Generator().manual_seed(height)
    rows, columns = torch.meshgrid(
        torch.linspace(0, 3, height), torch.linspace(0, 5, width), indexing="ij"
    )
    waves = torch.stack([(rows * k + columns).sin() for k in (1, 2, 3)])
    noise = torch.rand(3, height, width, generator=generator) * 0.2
    return ((waves * 0.4 + 0.4 + noise).clamp(0, 1) * 255).to(torch.uint8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", CASES)
def test_it_equals_the_weights_own_transform(case, shape):
    preprocessing = CASES[case]
    raw = photograph(*shape)
    wanted = preprocessing.transform()(Image.fromarray(raw.permute(1, 2, 0).numpy()))
    got = Prepare(preprocessing)(raw[None])[0]
    assert got.shape == wanted.shape == (3, *preprocessing.size)
    std = torch.tensor(preprocessing.std).view(3, 1, 1)
    error = ((got - wanted) * std).abs()  # in units of [0, 1]; PIL rounds to 1/255 twice
    assert error.max() <= (1e-6 if case == "nearest" else 2.5 / 255), error.max()
    assert error.mean() <= 0.6 / 255


def test_bytes_and_floats_are_the_same():
    prepare = Prepare(CASES["shorter side, crop"])
    raw = photograph(60, 80)[None]
    torch.testing.assert_close(prepare(raw), prepare(raw / 255.0))


def test_clips_are_prepared_frame_by_frame():
    prepare = Prepare(CASES["shorter side, crop"])
    clip = torch.stack([photograph(60, 80), photograph(60, 80).flip(1)], 1)[None]
    got = prepare(clip)
    assert got.shape == (1, 3, 2, 32, 32)
    assert torch.equal(got[:, :, 1], prepare(clip[:, :, 1]))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            torch.rand(2, 3, 9, 9) * 255,
            r"floats in \[0, 1\], got torch.float32 in \[.*not yet normal",
        ),
        (torch.randn(2, 3, 9, 9), "not yet normalised"),
        (torch.full((2, 3, 9, 9), float("nan")), "not yet normalised"),
        (torch.ones(2, 3, 9, 9, dtype=torch.int64), "as uint8 or floats .* got torch.int64"),
        (torch.rand(2, 1, 9, 9), r"3 channels, got 1 in shape \(2, 1, 9, 9\)"),
        (torch.rand(3, 9, 9), r"'b c h w', got shape \(3, 9, 9\)"),
        (np.zeros((2, 3, 9, 9)), "'b c h w', got ndarray"),
        (None, "got NoneType"),
    ],
)
def test_f021_what_is_no_raw_image_is_refused_by_branch(images, message):
    model = build({"a": "odd"}, preprocess="inside")
    with pytest.raises(fk.DataError, match=rf"branch 'a' \(odd/odd\) takes.* {message}"):
        model(images)


def test_f021_the_first_batches_are_looked_at_and_a_bicubic_overshoot_may_pass():
    prepare = Prepare(fk.Preprocessing(size=(9, 9)))
    prepare(torch.rand(1, 3, 9, 9) * 1.16 - 0.08)
    for _ in range(CHECKED_BATCHES - 1):
        prepare(torch.rand(1, 3, 9, 9))
    prepare(torch.rand(1, 3, 9, 9) * 255)  # no longer looked at, so that it costs nothing


def test_an_empty_batch_gives_an_empty_batch():
    assert Prepare(fk.Preprocessing(size=(9, 9)))(torch.rand(0, 3, 9, 9)).shape == (0, 3, 9, 9)


def test_each_branch_has_its_own_preparation_and_no_tensor_of_it_is_saved():
    branches = {"a": "odd", "b": branch("odd", preprocessing=CASES["not square"])}
    model = build(branches, preprocess="inside")
    assert model.prepare["a"](torch.rand(1, 3, 50, 50)).shape[2:] == (16, 16)
    assert model.prepare["b"](torch.rand(1, 3, 50, 50)).shape[2:] == (24, 40)
    assert not [name for name in model.state_dict() if name.startswith("prepare")]
    assert copy.deepcopy(model).prepare["b"].preprocessing == CASES["not square"]


def test_other_channels_get_the_mean_statistics():
    model = build({"a": branch("odd", in_channels=2)}, preprocess="inside")
    assert model.prepare["a"].mean.flatten().tolist() == pytest.approx([0.449, 0.449], abs=1e-3)
    assert model(torch.rand(1, 2, 9, 9)).shape == (1, 5)


def test_f020_an_unknown_preparation_is_refused():
    with pytest.raises(fk.AssemblyError, match=r"branch 'a': .*Branch\(preprocessing=\.\.\.\)"):
        build({"a": "tiny"}, preprocess="inside")
    build({"a": branch("tiny", preprocessing=fk.Preprocessing())}, preprocess="inside")


def test_a_model_in_bfloat16_is_given_bfloat16():
    prepare = Prepare(fk.Preprocessing(size=(9, 9))).bfloat16()
    raw = photograph(9, 9)[None]
    got = prepare(raw)
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got.float(), prepare.float()(raw), atol=0.05, rtol=0.05)


def test_what_is_no_image_reaches_its_branch_as_it_is():
    model = build(
        {"photo": branch("odd"), "table": branch("vector", input="row", in_channels=5)},
        preprocess="inside",
    ).eval()
    photo = torch.randint(0, 256, (2, 3, 20, 30), dtype=torch.uint8)
    row = torch.randn(2, 5) * 100
    features = model.features({"image": photo, "row": row})
    own = model.branches["table"](row, fk.Reads(vector=True)).vector
    assert torch.equal(features["table"].vector, own)
    assert list(model.prepare) == ["photo"]
