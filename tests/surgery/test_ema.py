"""Moving averages of torch's own over a fused model, and how they are saved."""

from __future__ import annotations

import copy

import pytest
import torch
from surgery_toys import CATALOG, INPUTS, assert_same, fused, tensors_of
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import fusionkit as fk

KINDS = {
    "ema": {"multi_avg_fn": get_ema_multi_avg_fn(0.9)},
    "ema with buffers": {"multi_avg_fn": get_ema_multi_avg_fn(0.9), "use_buffers": True},
    "swa": {},
    "swa with buffers": {"use_buffers": True},
}


def trained(model, ema, steps=4):
    """Trains some steps and gives the parameters after each."""
    optimizer = torch.optim.AdamW(model.param_groups(lr=0.01, weight_decay=0.1))
    seen = []
    for step in range(steps):
        model.train().set_epoch(step)
        model(INPUTS).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        ema.update_parameters(model)
        seen.append(tensors_of(model))
    return seen


@pytest.mark.parametrize("kind", KINDS)
def test_frozen_parts_stay_equal_and_the_rest_is_the_average(kind):
    model = fused(epoch=0)
    before = tensors_of(model)
    ema = AveragedModel(model, **KINDS[kind])
    seen = trained(model, ema)
    assert_same(tensors_of(ema.module.branches["rgb"]), tensors_of(model.branches["rgb"]))
    for name, value in tensors_of(ema.module).items():
        assert torch.equal(value, before[name]) or not name.startswith("branches.rgb."), name
    name = "branches.flow.top.weight"
    expected = seen[0][name]
    for number, each in enumerate(seen[1:], start=2):
        share = 0.1 if kind.startswith("ema") else 1 / number
        expected = (1 - share) * expected + share * each[name]
    torch.testing.assert_close(ema.module.get_parameter(name).detach(), expected)
    assert not torch.equal(ema.module.get_parameter(name), model.get_parameter(name))
    for tensor, value in ema.module.named_buffers():
        if "running" in tensor and "rgb" not in tensor and "buffers" not in kind:
            assert torch.equal(value, before[tensor]), tensor


def test_an_average_is_saved_under_its_models_epoch(tmp_path):
    model = fused(epoch=0)
    ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    trained(model, ema)
    with pytest.raises(fk.CheckpointError, match=r"save\(model\.module, \.\.\.\)"):
        fk.save(ema, tmp_path / "ema")
    fk.save(ema.module.set_epoch(model.epoch), tmp_path / "ema")
    loaded = fk.load(tmp_path / "ema", catalog=CATALOG)
    assert_same(tensors_of(loaded), tensors_of(ema.module))
    assert loaded.epoch == model.epoch == 3
    with torch.no_grad():
        assert torch.equal(loaded(INPUTS), ema.eval()(INPUTS))


def test_the_copy_shares_nothing_with_its_model():
    model = fused()
    memory = {each.data_ptr() for each in model.state_dict().values()}
    for other in (AveragedModel(model).module, copy.deepcopy(model)):
        assert not memory & {each.data_ptr() for each in other.state_dict().values()}
        assert other.recipe == model.recipe
        fk.drop_branch(other, "rgb", catalog=CATALOG)


def test_statistics_of_an_average_are_taken_anew():
    model = fused(epoch=0)
    ema = AveragedModel(model)
    trained(model, ema)
    fk.update_norms(ema.module.set_epoch(9), [INPUTS])
    assert_same(tensors_of(ema.module.branches["rgb"]), tensors_of(model.branches["rgb"]))
    stem = ema.module.branches["flow"].stem
    with torch.no_grad():
        mean = stem[0](INPUTS["flow"]).mean((0, 2, 3))
    torch.testing.assert_close(stem[1].running_mean, mean)
