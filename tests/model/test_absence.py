"""Branches whose input is absent, and branch dropout, which trains for it."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from toys import ToyPlugin, perturb

import fusionkit as fk
from fusionkit.model.absence import fuse_with_dropout

CATALOG = fk.Catalog.installed().with_plugin("toy", ToyPlugin())
HEADS = (
    fk.Head("mean_logits"),
    fk.Head("mean_probabilities", weights={"flow": 3, "rgb": 1}),
    fk.Head("mean_log_probabilities", weights="learned", temperature="learned"),
    fk.Head("two_stream"),
    fk.Head("concat", hidden=8),
    *(fk.Head("two_stream_maps", fusion=kind) for kind in ("sum", "max", "concat", "conv")),
)
each_head = pytest.mark.parametrize("head", HEADS, ids=str)


def build(head: fk.Head, flow: float = 0.0, rgb: float = 0.0) -> fk.FusedModel:
    torch.manual_seed(0)
    model = fk.compose(
        {
            "flow": fk.Branch(
                "toy/tiny", weights=None, input="motion", in_channels=2, branch_dropout=flow
            ),
            "rgb": fk.Branch("toy/tiny", weights=None, branch_dropout=rgb),
        },
        head,
        num_classes=4,
        catalog=CATALOG,
    )
    perturb(model)
    return model


def inputs(batch: int = 6) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "image": torch.randn(batch, 3, 16, 16, generator=generator),
        "motion": torch.randn(batch, 2, 16, 16, generator=generator),
    }


@each_head
def test_a_missing_input_has_an_answer(head: fk.Head) -> None:
    model = build(head).eval()
    given = inputs()
    both = model(given)
    for name in given:
        alone = model({name: given[name]})
        assert alone.shape == both.shape
        assert alone.isfinite().all()
        assert not torch.equal(alone, both)


def test_an_average_over_one_branch_is_that_branch() -> None:
    model = build(fk.Head("mean_probabilities", weights={"flow": 3, "rgb": 1})).eval()
    given = inputs()
    alone = model({"image": given["image"]})
    scores = model.head.scores({"rgb": model.features({"image": given["image"]})["rgb"]})["rgb"]
    torch.testing.assert_close(alone, scores.log_softmax(-1))


def test_weights_of_zero_leave_the_others_equal() -> None:
    model = build(fk.Head("mean_logits", weights={"flow": 1, "rgb": 0})).eval()
    assert model({"image": inputs()["image"]}).isfinite().all()


def test_nothing_at_all_is_refused() -> None:
    with pytest.raises(fk.DataError, match="some may be absent, but not all: image, motion"):
        build(fk.Head("concat")).eval()({})


def test_a_misspelt_input_is_not_taken_for_a_missing_one() -> None:
    given = inputs()
    with pytest.raises(fk.DataError, match=r"reads the input 'motin'\. Did you mean"):
        build(fk.Head("concat")).eval()({"image": given["image"], "motin": given["motion"]})


def test_a_head_that_needs_all_refuses_by_name() -> None:
    with pytest.raises(fk.DataError, match=r"'motion'.*the head 'toy/sum' needs every branch"):
        build(fk.Head("toy/sum")).eval()({"image": inputs()["image"]})


def test_in_training_every_input_is_needed() -> None:
    with pytest.raises(fk.DataError, match="in training every input is needed"):
        build(fk.Head("concat")).train()({"image": inputs()["image"]})


@each_head
def test_dropped_samples_get_the_answer_of_the_branches_they_keep(head: fk.Head) -> None:
    model = build(head).eval()
    given = inputs(64)
    with torch.no_grad():
        features = model.features(given)
        torch.manual_seed(1)
        fused = fuse_with_dropout(model.head, features, {"flow": 0.4, "rgb": 0.4})
        answers = {
            "both": model(given),
            "flow": model({"motion": given["motion"]}),
            "rgb": model({"image": given["image"]}),
        }
    near = {kind: (fused - answer).abs().amax(1) < 1e-5 for kind, answer in answers.items()}
    assert torch.stack(list(near.values())).any(0).all()
    assert all(rows.any() for rows in near.values())


def test_rates_are_kept_and_nobody_loses_everything() -> None:
    class Count(fk.FusionHead):
        takes_missing = True
        reads = "vector"

        def forward(self, features):
            first = next(iter(features.values())).vector
            return torch.tensor([[float("a" in features), float("b" in features)]]).expand(
                len(first), 2
            )

    torch.manual_seed(0)
    features = {name: fk.Features(torch.zeros(4000, 1)) for name in ("a", "b")}
    kept = fuse_with_dropout(Count(), features, {"a": 0.5, "b": 0.0})
    assert kept[:, 0].mean() == pytest.approx(0.5, abs=0.03)
    assert bool((kept[:, 1] == 1).all())
    kept = fuse_with_dropout(Count(), features, {"a": 0.6, "b": 0.6})
    assert bool((kept.sum(1) >= 1).all())
    assert kept[:, 0].mean() == pytest.approx(0.4 + 0.36 / 2, abs=0.03)


def test_branch_dropout_is_only_for_training_and_repeats_with_its_seed() -> None:
    model = build(fk.Head("concat"), flow=0.5, rgb=0.5)
    given = inputs(32)
    model.eval()
    assert torch.equal(model(given), model(given))
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    model.train()
    torch.manual_seed(5)
    first = model(given)
    torch.manual_seed(5)
    assert torch.equal(model(given), first)
    assert not torch.equal(model(given), first)
    first.square().mean().backward()
    assert all(value.grad is not None for value in model.parameters())


def test_a_model_with_branch_dropout_answers_better_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (256,), generator=generator)
    clue = nn.functional.one_hot(labels, 4).float()
    image = torch.randn(256, 3, 8, 8, generator=generator) * 0.5
    motion = torch.randn(256, 2, 8, 8, generator=generator) * 0.5
    image[:, 0, 0, :4] += clue * 2
    motion[:, 0, 0, :4] += clue * 6  # the easier one, on which a model comes to rely
    losses = {}
    for rate in (0.0, 0.5):
        model = build(fk.Head("concat"), flow=rate).train()
        optimizer = torch.optim.AdamW(model.param_groups(lr=3e-3))
        for _ in range(60):
            optimizer.zero_grad()
            answer = model({"image": image, "motion": motion})
            nn.functional.cross_entropy(answer, labels).backward()
            optimizer.step()
        alone = model.eval()({"image": image})
        losses[rate] = float(nn.functional.cross_entropy(alone, labels).detach())
    assert losses[0.5] < 0.8 * losses[0.0], losses


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (fk.Head("toy/sum"), "'flow' has branch_dropout, but the head 'toy/sum' needs every"),
        (fk.Head("concat", norm="batch"), r"'vectors.*' of the head 'concat' is a batch norm"),
    ],
    ids=str,
)
def test_branch_dropout_is_refused_where_it_cannot_be(head: fk.Head, message: str) -> None:
    with pytest.raises(fk.AssemblyError, match=message):
        build(head, flow=0.5)


def test_the_only_branch_cannot_be_dropped() -> None:
    with pytest.raises(fk.AssemblyError, match="'a' is the only one"):
        fk.compose(
            {"a": fk.Branch("toy/tiny", weights=None, branch_dropout=0.5)},
            "concat",
            num_classes=4,
            catalog=CATALOG,
        )


@pytest.mark.parametrize("rate", [-0.1, 1, 1.0, True, "0.5", float("nan")])
def test_a_rate_that_is_no_share_is_refused(rate: object) -> None:
    with pytest.raises(fk.ConfigError, match="branch_dropout is a share from 0 up to"):
        fk.Branch("toy/tiny", branch_dropout=rate)  # type: ignore[arg-type]


def test_it_is_written_in_a_recipe_and_saved(tmp_path) -> None:
    model = build(fk.Head("concat"), flow=0.25)
    assert "branch_dropout: 0.25" in fk.format_recipe(model.recipe)
    again = fk.load(fk.save(model, tmp_path / "m"), catalog=CATALOG)
    assert again.recipe.branches["flow"].branch_dropout == 0.25
