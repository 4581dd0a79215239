"""``score`` gives the fused answer and each branch's own, and runs each branch once."""

from __future__ import annotations

import pytest
import torch
from imbalance import build, draw_noise

import fusionkit as fk


@pytest.mark.parametrize("head", ["mean_logits", fk.Head("auxiliary", head="concat")], ids=str)
def test_scores_are_the_models_answer_and_the_heads_branch_scores(head):
    model = build(head).eval()
    x, _ = draw_noise()
    scores = fk.balance.score(model, x)
    assert torch.equal(scores.fused, model(x))
    own = model.head.branch_scores(model.features(x))
    assert list(scores.branches) == list(own) == ["loud", "quiet"]
    assert all(torch.equal(scores.branches[name], own[name]) for name in own)


def test_each_branch_runs_once():
    model = build()
    runs = []
    for name, branch in model.branches.items():
        branch.register_forward_hook(lambda *_, name=name: runs.append(name))
    fk.balance.score(model, draw_noise()[0])
    assert sorted(runs) == ["loud", "quiet"]


def test_branch_dropout_is_for_the_fused_answer_only():
    model = build(fk.Head("auxiliary"), branch_dropout=0.5)
    x, _ = draw_noise(batch=32)
    scores, again = fk.balance.score(model, x), fk.balance.score(model, x)
    assert not torch.equal(scores.fused, again.fused)
    assert all(torch.equal(scores.branches[n], again.branches[n]) for n in model.branches)
    assert all(len(each) == 32 for each in scores.branches.values())


def test_an_absent_branch_has_no_scores():
    model = build().eval()
    x, _ = draw_noise()
    scores = fk.balance.score(model, {"quiet": x["quiet"]})
    assert list(scores.branches) == ["quiet"]
    assert torch.equal(scores.fused, scores.branches["quiet"])


@pytest.mark.parametrize("detach", [False, True])
def test_a_detached_loss_teaches_the_classifiers_only(detach):
    model = build(fk.Head("auxiliary"))
    x, labels = draw_noise()
    scores = fk.balance.score(model, x, detach=detach)
    torch.nn.functional.cross_entropy(scores.branches["loud"], labels).backward()
    learned = {name for name, value in model.named_parameters() if value.grad is not None}
    assert "head.scores.classifiers.loud.linear.weight" in learned
    assert any(name.startswith("branches.loud") for name in learned) != detach
    assert scores.fused.requires_grad


def test_maps_and_stock_logits_are_detached_too():
    features = fk.Features(None, (torch.ones(1, 2, 3, 3, requires_grad=True),), torch.ones(1, 2))
    from fusionkit.balance.scores import _detach

    detached = _detach(features)
    assert detached.vector is None
    assert not detached.maps[0].requires_grad
    assert torch.equal(detached.logits, features.logits)


def test_a_head_without_scores_of_branches_says_what_to_write():
    with pytest.raises(fk.AssemblyError, match=r"Head\('auxiliary', head=\.\.\.\)"):
        fk.balance.score(build("concat"), draw_noise()[0])


def test_the_module_gives_the_same_and_has_the_models_parameters():
    model = build()
    scored = fk.balance.ScoredModel(model)
    x, _ = draw_noise()
    expected = fk.balance.score(model, x)
    actual = scored(x)
    assert torch.equal(actual.fused, expected.fused)
    assert {id(p) for p in scored.parameters()} == {id(p) for p in model.parameters()}
    scored.eval()
    assert not model.training


def test_the_module_compiles_to_one_graph():
    model = build(fk.Head("auxiliary"))
    scored = fk.balance.ScoredModel(model)
    x, _ = draw_noise()
    torch._dynamo.reset()
    try:
        compiled = torch.compile(scored, fullgraph=True, backend="eager")(x)
    finally:
        torch._dynamo.reset()
    expected = scored(x)
    torch.testing.assert_close(compiled.fused, expected.fused)
    torch.testing.assert_close(compiled.branches, expected.branches)
