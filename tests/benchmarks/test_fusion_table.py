"""The table of heads: what each is given of frozen features, and how it learns from it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import fusionkit as fk

ROOT = Path(__file__).parents[2]
CLASSES = 3


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def offered(maps: bool = True) -> dict[str, fk.HeadInput]:
    levels = (fk.Level(4, 16), fk.Level(6, 32)) if maps else ()
    return {"a": fk.HeadInput(5, levels), "b": fk.HeadInput(7, levels[1:])}


def samples(count: int, maps: bool = True) -> tuple[dict[str, fk.Features], torch.Tensor]:
    """Gives features that tell the label plainly."""
    generator = torch.Generator().manual_seed(count)
    labels = torch.arange(count) % CLASSES
    marks = 3 * torch.eye(CLASSES)[labels]

    def make(inputs: fk.HeadInput) -> fk.Features:
        def marked(*shape: int) -> torch.Tensor:
            noise = torch.randn(count, *shape, generator=generator)
            noise[:, :CLASSES] += marks.reshape(count, CLASSES, *[1] * (len(shape) - 1))
            return noise

        sides = (64 // level.stride for level in inputs.levels)
        made = (
            marked(n.channels, side, side) for n, side in zip(inputs.levels, sides, strict=True)
        )
        return fk.Features(marked(inputs.embed_dim), tuple(made))

    return {name: make(each) for name, each in offered(maps).items()}, labels


@pytest.mark.parametrize("name", ["adaptive", "concat", "fusion_transformer", "pyramid_fusion"])
def test_a_head_learns_from_vectors_or_maps(name: str) -> None:
    from fusion.contenders import Contender

    contender = Contender(name, offered(), CLASSES, seed=0)
    contender.learn(*samples(30))
    assert contender.judge(*samples(60)) > 0.9


def test_a_head_is_given_what_it_reads_and_no_more() -> None:
    from fusion.contenders import Contender

    given, _ = samples(2)
    contender = Contender("fusion_transformer", offered(), CLASSES, seed=0)
    picked = contender._pick("a", given["a"])
    assert picked.vector is None
    assert len(picked.maps) == 1
    assert torch.equal(picked.maps[0], given["a"].maps[1])


def test_a_head_of_maps_sees_few_samples_a_step_and_all_in_a_pass() -> None:
    from fusion.contenders import BATCH, STEPS, Contender

    maps = list(Contender("two_stream_maps", offered(), CLASSES, 0)._batches(3 * BATCH))
    assert len(maps) == STEPS
    assert all(len(rows) == BATCH for rows in maps)
    assert sorted(torch.cat(maps[:3]).tolist()) == list(range(3 * BATCH))
    assert not torch.equal(torch.cat(maps[:3]), torch.cat(maps[3:6]))
    assert len(next(Contender("two_stream_maps", offered(), CLASSES, 0)._batches(5))) == 5
    vectors = Contender("concat", offered(), CLASSES, 0)._batches(3 * BATCH)
    assert next(vectors).tolist() == list(range(3 * BATCH))


def test_the_rate_is_the_one_that_does_best_on_samples_held_out() -> None:
    from fusion.contenders import Contender, hold_out

    _, labels = samples(30)
    inside, outside = hold_out(labels, seed=3)
    assert labels[outside].bincount().tolist() == [4, 4, 4]
    assert sorted([*inside.tolist(), *outside.tolist()]) == list(range(30))
    for rates in ((1e-9, 3e-3), (3e-3, 1e-9)):
        contender = Contender("concat", offered(), CLASSES, 0)
        contender.rates = rates
        given, labels = samples(30)
        known = {branch: contender._pick(branch, each) for branch, each in given.items()}
        assert contender._choose_rate(known, labels) == 3e-3


def test_who_has_no_line_in_the_table_says_why() -> None:
    from fusion.contenders import Contender, UnsuitedError

    with pytest.raises(UnsuitedError, match="maps"):
        Contender("two_stream_maps", offered(maps=False), CLASSES, 0)
    with pytest.raises(UnsuitedError, match="scores"):
        Contender("mean_probabilities", {"a": fk.HeadInput(5, num_classes=CLASSES)}, CLASSES, 0)


def test_branches_are_kept_with_their_vectors_and_coarse_maps() -> None:
    from fusion import extraction

    branch = fk.Branch("timm/test_resnet", weights=None, freeze=fk.Freeze.all())
    model = extraction.compose({"net": branch})
    given, inputs = extraction.extract(model, torch.randn(3, 3, 64, 64))["net"]
    assert [level.stride for level in inputs.levels] == [16, 32]
    assert [tuple(each.shape[1:]) for each in given.maps] == [
        (level.channels, 64 // level.stride, 64 // level.stride) for level in inputs.levels
    ]
    assert given.vector.shape == (3, inputs.embed_dim)
    parts = extraction.extract(model, torch.randn(2, 3, 64, 64))["net"][0]
    joined = extraction.from_tensors(extraction.to_tensors([given, parts]))
    assert torch.equal(joined.vector, torch.cat([given.vector, parts.vector]))
    assert torch.equal(joined.maps[1], torch.cat([given.maps[1], parts.maps[1]]))


def test_of_levels_that_are_alike_each_is_kept() -> None:
    from fusion import extraction

    branch = fk.Branch("timm/test_vit3", weights=None, freeze=fk.Freeze.all())
    model = extraction.compose({"net": branch})
    given, inputs = extraction.extract(model, model.branches["net"].example(2))["net"]
    assert len(given.maps) == len(inputs.levels) > 1
    assert not torch.equal(given.maps[0], given.maps[-1])


def test_a_draw_takes_so_many_of_each_class_and_leaves_the_rest_for_the_test() -> None:
    from fusion.data import Pair

    given, labels = samples(30)
    pair = Pair.of({n: (given[n], offered()[n]) for n in given}, labels, (2,), 20)
    rows, rest = pair.draw(2, seed=1)
    assert labels[rows].bincount().tolist() == [2, 2, 2]
    assert sorted([*rows.tolist(), *rest.tolist()]) == list(range(30))
    assert len(pair.draw(None, seed=1)[0]) == 20
    assert not torch.equal(rows, pair.draw(2, seed=2)[0])


def test_what_was_measured_is_kept_and_not_asked_again(tmp_path: Path) -> None:
    from fusion.kept import Kept

    file = tmp_path / "kept.jsonl"
    key = ("digits", "full", "concat", 0)
    assert Kept(file).ask(key, lambda: 0.5) == 0.5
    with file.open("a") as end:
        end.write('["digits", "full", "concat", 1, 0.')  # stopped while it wrote
    again = Kept(file)
    assert again.ask(key, lambda: pytest.fail("asked again")) == 0.5
    assert again.ask(("digits", "full", "concat", 1), lambda: 0.25) == 0.25
    assert Kept(file).known == {key: 0.5, ("digits", "full", "concat", 1): 0.25}


def test_who_has_no_line_is_not_asked_in_the_next_draw() -> None:
    import fusion_table
    from fusion.data import Pair
    from fusion.kept import Kept

    given, labels = samples(30, maps=False)
    pair = Pair.of({n: (given[n], offered(maps=False)[n]) for n in given}, labels, (2,), 20)
    skipped: dict[str, str] = {}
    found = fusion_table.compare(
        pair, None, ["concat", "two_stream_maps"], range(2),
        place=("toy", "full"), skipped=skipped, kept=Kept(None),
    )  # fmt: skip
    assert {title: len(each) for title, each in found.items()} == {
        "a alone": 2, "b alone": 2, "concat": 2,
    }  # fmt: skip
    assert list(skipped) == ["two_stream_maps"]
