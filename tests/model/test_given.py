"""Features that were computed before take the place of branches that are frozen."""

from __future__ import annotations

import pytest
import torch
from odd_toys import branch, build, images
from toys import perturb

import fusionkit as fk


def pair(second: fk.Freeze | None = None, **options) -> fk.FusedModel:
    torch.manual_seed(0)
    model = build(
        {
            "b": branch("tiny", input="flow", in_channels=5, freeze=second or fk.Freeze.none()),
            "a": branch("tiny", input="rgb", freeze=fk.Freeze.all()),
        },
        **options,
    )
    perturb(model)
    return model


def streams(batch: int = 4) -> dict[str, torch.Tensor]:
    return {"rgb": images(batch, 3), "flow": images(batch, 5, seed=1)}


def test_only_some_branches_run():
    model = pair().eval()
    x = streams()
    every = model.features(x)
    some = model.features({"rgb": x["rgb"]}, only=["a"])
    assert list(some) == ["a"]
    assert torch.equal(some["a"].vector, every["a"].vector)
    assert torch.equal(model.features(x["rgb"], only=["a"])["a"].vector, every["a"].vector)
    assert model.features({}, only=[]) == {}


def test_inputs_of_branches_that_do_not_run_are_not_looked_at():
    model = pair().train()
    x = {**streams(), "flow": "no tensor at all"}
    assert list(model.features(x, only=["a"])) == ["a"]


def test_of_branches_that_run_every_input_is_needed():
    with pytest.raises(fk.DataError, match=r"branch 'b' reads the input 'flow'.*got nothing"):
        pair().features({"rgb": streams()["rgb"]}, only=["b"])
    with pytest.raises(fk.DataError, match="no branch reads the input 'rbg'"):
        pair().features({**streams(), "rbg": 2}, only=["b", "a"])


def test_a_branch_that_there_is_not_is_named():
    with pytest.raises(fk.DataError, match=r"no branch 'aa'. Did you mean 'a'\? The branches are"):
        pair().features(streams(), only=["aa"])
    model = pair().eval()
    with pytest.raises(fk.DataError, match="there is no branch 'c'"):
        model(streams(), {"c": fk.Features()})


def test_given_features_are_fused_as_if_the_branch_had_run():
    model = pair(fk.Freeze.all()).train()
    x = streams()
    given = {"a": model.features(x, only=["a"])["a"]}
    calls = []
    model.branches["a"].register_forward_hook(lambda *_: calls.append("a"))
    expected = model.head(model.features(x))
    calls.clear()
    assert torch.equal(model({"flow": x["flow"]}, given), expected)
    assert calls == []
    every = model.features(x)
    assert torch.equal(model(None, every), expected)
    assert torch.equal(model({}, dict(reversed(every.items()))), expected)


def test_features_of_a_branch_that_learns_are_refused_in_training():
    model = pair()
    x = streams()
    given = model.eval().features(x)
    model(x, given)
    with pytest.raises(fk.PolicyError, match=r"branch 'b' learns at this epoch.*no gradient"):
        model.train()(x, given)
    assert model(x, {"a": given["a"]}).requires_grad


def test_a_branch_that_thaws_is_refused_from_then_on():
    model = pair(fk.Freeze.gradual(start=1)).train()
    given = model.features(streams())
    model({}, given)
    with pytest.raises(fk.PolicyError, match="branch 'b' learns"):
        model.set_epoch(1)({}, given)


def test_batches_of_other_lengths_are_not_fused():
    model = pair(fk.Freeze.all()).eval()
    given = {"a": model.features(streams(3), only=["a"])["a"]}
    with pytest.raises(fk.DataError, match=r"different numbers of samples.*'a' 3, 'b' 4"):
        model(streams(4), given)


def test_without_inputs_the_head_decides_whether_the_rest_may_be_absent():
    model = pair(fk.Freeze.all()).eval()
    given = {"a": model.features(streams(), only=["a"])["a"]}
    with pytest.raises(fk.DataError, match="branch 'b' reads the input 'flow'"):
        model({}, given)
    lenient = pair(fk.Freeze.all()).eval()
    lenient.head.takes_missing = True
    lenient.head.forward = lambda features: features["a"].vector
    assert torch.equal(lenient(None, given), given["a"].vector)
