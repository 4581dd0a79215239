"""An epoch with the cache is the epoch without it, and opens no image once all is cached."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch
from cached_toys import COUNT, answers, loader_of, model_of, samples_of, write_image, write_images
from odd_toys import odd_catalog
from torch import nn
from torch.nn.functional import cross_entropy

import fusionkit as fk
from fusionkit.cache import FeatureCache, FeatureLoader
from fusionkit.cache import branch as branch_module
from fusionkit.cache import loader as loader_module
from fusionkit.cache.chunk import is_chunk
from fusionkit.data import Augment, EpochSampler, PreparedDataset, Sample
from fusionkit.data.prepare import Prepare
from fusionkit.data.sample import ListedSamples

THAWS = fk.Freeze.gradual(start=2)


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / "images")


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """Collects the ids of the samples that are decoded, each with its branches."""
    seen: list[str] = []
    real = Prepare.__call__

    def told(self, sample, epoch=0):
        seen.append(f"{sample.id} {'+'.join(self.preparations)}")
        return real(self, sample, epoch)

    monkeypatch.setattr(Prepare, "__call__", told)
    return seen


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert list(one) == list(other)
    for name, value in one.items():
        torch.testing.assert_close(value, other[name])


def chunks(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if is_chunk(path))


def train(model, loader, epochs: int) -> dict[str, torch.Tensor]:
    optimizer = torch.optim.SGD(model.param_groups(lr=0.1), momentum=0.9)
    for epoch in range(epochs):
        model.train().set_epoch(epoch)
        loader.set_epoch(epoch)
        for batch in loader:
            optimizer.zero_grad()
            cross_entropy(model(batch.inputs, batch.features), batch.labels).backward()
            optimizer.step()
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("head", ["odd/sum", "odd/maps"])
def test_a_head_trained_on_the_cache_is_the_head_trained_without_it(images, tmp_path, head):
    live, cached = model_of(head=head), model_of(head=head)
    expected = train(live, loader_of(live, images), 3)
    found = train(cached, loader_of(cached, images, tmp_path / "cache"), 3)
    assert any(
        not torch.equal(value, live_start)
        for value, live_start in zip(expected.values(), model_of(head=head).state_dict().values(),
                                     strict=True)
    )  # fmt: skip
    torch.testing.assert_close(found, expected)


def test_the_order_labels_and_ids_of_an_epoch_are_the_samplers(images, tmp_path):
    model = model_of()
    loaders = [loader_of(model, images), loader_of(model, images, tmp_path / "cache")]
    for epoch in (0, 1):
        told = []
        for loader in loaders:
            loader.set_epoch(epoch)
            told.append(
                [
                    (each.ids, each.labels.tolist(), each.indices.tolist(), each.counted.tolist())
                    for each in loader
                ]
            )
        assert told[0] == told[1]
        assert len(told[0]) == len(loaders[0]) == len(loaders[1]) == 3


def test_once_all_is_cached_no_image_is_opened_and_no_loader_is_made(
    images, tmp_path, opened, monkeypatch
):
    model = model_of()
    loader = loader_of(model, images, tmp_path / "cache")
    first = answers(model, loader)
    assert sorted(opened) == sorted(f"{name} a+b" for name in samples_of(images).ids)
    assert loader.cached == ("a", "b")
    opened.clear()
    monkeypatch.setattr(loader_module, "build_loader", lambda *_, **__: pytest.fail("made"))
    same(answers(model, loader), first)
    assert all(batch.inputs == {} for batch in loader)
    assert opened == []


def test_another_run_finds_what_one_has_kept(images, tmp_path, opened):
    model = model_of()
    first = loader_of(model, images, tmp_path / "cache")
    expected = answers(model, first)
    first.close()
    opened.clear()
    again = model_of()
    same(answers(again, loader_of(again, images, tmp_path / "cache")), expected)
    assert len(opened) == 8  # four rows of each branch are computed again, to compare


def test_p9_f091_a_file_that_is_inserted_shifts_no_row(images, tmp_path, opened):
    model = model_of()
    answers(model, loader_of(model, images, tmp_path / "cache"))
    write_image(images / "train" / "a" / "00.png", 77)
    (images / "train" / "b" / "3.png").unlink()
    opened.clear()
    found = answers(model, loader_of(model, images, tmp_path / "cache"))
    assert sum(each.endswith(" a+b") for each in opened) == 1
    assert len(found) == COUNT
    same(found, answers(model, loader_of(model, images)))


def test_f089_an_image_that_changes_is_computed_again(images, tmp_path, opened):
    model = model_of()
    answers(model, loader_of(model, images, tmp_path / "cache"))
    write_image(images / "train" / "a" / "0.png", 99)
    found = answers(model, loader_of(model, images, tmp_path / "cache"))
    same(found, answers(model, loader_of(model, images)))


def test_f089_f095_weights_that_change_between_epochs_are_seen(images, tmp_path):
    model = model_of()
    loader = loader_of(model, images, tmp_path / "cache")
    before = answers(model, loader)
    model.branches["a"].top.weight.data[0] += 1
    after = answers(model, loader)
    assert any(not torch.allclose(before[name], after[name]) for name in before)
    same(after, answers(model, loader_of(model, images)))


def test_f095_what_the_key_does_not_tell_shows_in_the_rows_that_are_compared(images, tmp_path):
    model = model_of()
    answers(model, loader_of(model, images, tmp_path / "cache"))
    changed = model_of()
    real = changed.branches["a"].forward

    def doubled(x, reads):
        features = real(x, reads)
        return features._replace(vector=features.vector * 2)

    changed.branches["a"].forward = doubled
    with pytest.warns(UserWarning, match=r"branch 'a': 4 rows were computed again and differ by"):
        found = answers(changed, loader_of(changed, images, tmp_path / "cache"))
    same(found, answers(changed, loader_of(changed, images)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answers(changed, loader_of(changed, images, tmp_path / "cache"))


def test_a_branch_that_thaws_leaves_the_cache_and_the_others_stay(images, tmp_path, opened):
    live, cached = model_of(b=THAWS), model_of(b=THAWS)
    loader = loader_of(cached, images, tmp_path / "cache")
    expected = train(live, loader_of(live, images), 2)
    found = train(cached, loader, 2)
    torch.testing.assert_close(found, expected)
    for epoch, learns in ((2, ["b"]), (1, [])):  # and an earlier epoch gives it back
        cached.set_epoch(epoch)
        opened.clear()
        batches = list(loader)
        assert [list(batch.inputs) for batch in batches] == [learns] * 3
        assert loader.cached == (("a",) if learns else ("a", "b"))
        assert len(opened) == (COUNT if learns else 4)  # four rows are compared when it is opened
        assert all(each.endswith(" b") for each in opened)


def test_training_through_a_thaw_is_training_without_the_cache(images, tmp_path):
    live, cached = model_of(b=THAWS), model_of(b=THAWS)
    for model in (live, cached):  # dropout draws by batch, so that both draw the same
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
    expected = train(live, loader_of(live, images), 4)
    found = train(cached, loader_of(cached, images, tmp_path / "cache"), 4)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_the_runs_own_random_numbers_are_not_drawn_from(images, tmp_path):
    model = model_of()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    answers(model, loader_of(model, images, tmp_path / "cache", workers=1))
    assert torch.equal(torch.rand(3), expected)


def test_f090_what_can_never_be_cached_is_refused(images, tmp_path):
    with pytest.raises(fk.CacheError, match=r"branch 'a' cannot be cached.*learn at epoch 0"):
        loader_of(model_of(fk.Freeze.none(), fk.Freeze.last(1)), images, tmp_path / "cache")
    with pytest.raises(fk.CacheError, match=r"augmented at random.*views=4"):
        loader_of(model_of(), images, tmp_path / "cache", augment=Augment())
    loader_of(model_of(fk.Freeze.none()), images, tmp_path / "cache", augment=Augment.none())


def test_k_views_are_kept_and_shown_in_turn(images, tmp_path, opened):
    model = model_of()
    augment = Augment(brightness=0.5)
    loader = loader_of(model, images, tmp_path / "cache", augment=augment, views=2)
    live = loader_of(model, images, augment=augment)
    found = []
    for epoch in range(4):
        for each in (loader, live):
            each.sampler.set_epoch(0)
        loader._epoch, live._epoch = epoch, epoch % 2
        opened.clear()
        found.append(answers(model, loader))
        assert bool(opened) == (epoch < 2)
        same(found[-1], answers(model, live))
    same(found[0], found[2])
    same(found[1], found[3])
    assert any(not torch.allclose(found[0][name], found[1][name]) for name in found[0])


def test_branches_that_learn_see_the_view_of_those_that_are_cached(images, tmp_path):
    model = model_of(b=fk.Freeze.gradual(start=5))
    loader = loader_of(model, images, tmp_path / "cache", augment=Augment(), views=2)
    model.set_epoch(5)
    loader.set_epoch(5)
    assert [list(batch.inputs) for batch in loader] == [["b"]] * 3
    assert loader.dataset.epoch == 1
    thawed = model_of(fk.Freeze.gradual(start=5), fk.Freeze.gradual(start=5))
    loader = loader_of(thawed, images, tmp_path / "cache", augment=Augment(), views=2)
    thawed.set_epoch(5)
    loader.set_epoch(5)
    assert [list(batch.inputs) for batch in loader] == [["a", "b"]] * 3
    assert loader.dataset.epoch == 5


def test_f089_another_seed_or_augmentation_is_another_view(images, tmp_path, opened):
    model = model_of()
    for augment in (Augment(), Augment(flip=0.2)):
        opened.clear()
        answers(model, loader_of(model, images, tmp_path / "c", augment=augment, views=1))
        assert len(opened) == COUNT


def test_p8_a_branch_that_is_random_is_refused(images, tmp_path):
    model = model_of()
    real = model.branches["b"].forward

    def noisy(x, reads):
        features = real(x, reads)
        return features._replace(vector=features.vector + torch.rand_like(features.vector))

    model.branches["b"].forward = noisy
    with pytest.raises(fk.CacheError, match="branch 'b' gives other features for the same samples"):
        list(loader_of(model, images, tmp_path / "cache"))


def test_p8_a_branch_that_depends_on_its_batch_is_refused(images, tmp_path):
    model = model_of()
    real = model.branches["b"].forward

    def centred(x, reads):
        return real(x - x.mean(0), reads)

    model.branches["b"].forward = centred
    with pytest.raises(
        fk.CacheError, match="branch 'b' gives other features for a sample in another"
    ):
        list(loader_of(model, images, tmp_path / "cache"))


def test_f092_a_damaged_file_is_computed_again_with_a_warning(images, tmp_path):
    model = model_of()
    expected = answers(model, loader_of(model, images, tmp_path / "cache"))
    path = chunks(tmp_path / "cache")[0]
    raw = path.read_bytes()
    path.write_bytes(raw[:-200] + bytes([raw[-200] ^ 1]) + raw[-199:])
    with pytest.warns(UserWarning, match="checksum differs"):
        found = answers(model, loader_of(model, images, tmp_path / "cache"))
    same(found, expected)


def test_f092_a_file_cut_in_the_middle_of_an_epoch_is_computed_again(images, tmp_path):
    model = model_of()
    cache = FeatureCache(tmp_path / "cache", max_memory=0)
    loader = loader_of(model, images, cache)
    expected = answers(model, loader)
    batches = iter(loader)
    next(batches)
    for path in chunks(tmp_path / "cache"):
        path.write_bytes(path.read_bytes()[:500])
    with pytest.warns(UserWarning, match="cut short while it was in use"):
        rest = list(batches)
    assert len(rest) == 2
    same(answers(model, loader), expected)


def test_what_does_not_fit_into_memory_is_read_from_disk(images, tmp_path):
    model = model_of()
    loader = loader_of(model, images, FeatureCache(tmp_path / "cache", max_memory=0))
    found = answers(model, loader)
    assert all(
        table.memory == 0
        for opened in loader._split._opened.values()
        for table, _ in opened.tables.values()
    )
    same(found, answers(model, loader_of(model, images)))


def test_half_the_precision_is_half_the_bytes_and_nearly_the_answer(images, tmp_path):
    model = model_of()
    cache = FeatureCache(tmp_path / "cache", dtype=torch.bfloat16)
    found = answers(model, loader_of(model, images, cache))
    whole = FeatureCache(tmp_path / "whole")
    expected = answers(model, loader_of(model, images, whole))
    assert cache.size() < whole.size()
    for name, value in found.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, expected[name], rtol=0.05, atol=0.05)


def test_f096_without_room_it_goes_on_uncached_and_says_so(images, tmp_path):
    model = model_of()
    cache = FeatureCache(tmp_path / "cache", max_bytes=300)
    loader = loader_of(model, images, cache)
    with pytest.warns(UserWarning, match=r"branch '[ab]' goes on without the feature cache.*300"):
        found = answers(model, loader)
    assert loader.cached == ()
    same(found, answers(model, loader_of(model, images)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same(answers(model, loader), found)
    assert chunks(tmp_path / "cache") == []


def test_f096_a_disk_that_fills_up_is_no_end_of_training(images, tmp_path, monkeypatch):
    model = model_of()
    real, written = branch_module.write_chunk, []

    def full(folder, *arguments):
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        written.append(folder)
        return real(folder, *arguments)

    monkeypatch.setattr(branch_module, "write_chunk", full)
    monkeypatch.setattr(branch_module, "CHUNK_BYTES", 1)
    loader = loader_of(model, images, tmp_path / "cache")
    with pytest.warns(UserWarning, match="goes on without the feature cache.*the disk is full"):
        found = answers(model, loader)
    assert len(loader.cached) < 2
    same(found, answers(model, loader_of(model, images)))


def test_samples_that_cannot_be_read_are_left_out_and_named(images, tmp_path):
    model = model_of()
    for name in ("a/0.png", "b/3.png"):
        (images / "train" / name).write_bytes(b"")
    told = []
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):
        loader = loader_of(model, images, cache, broken="skip")
        for _ in range(2):
            told.append([(each.ids, sorted(name for name, _ in each.broken)) for each in loader])
    assert all(each == told[0] for each in told)
    assert sum(len(ids) for ids, _ in told[0]) == COUNT - 2
    with pytest.raises(fk.DataError, match=r"0\.png"):
        list(loader_of(model, images, tmp_path / "other"))


@pytest.mark.parametrize("thaws", [False, True])
@pytest.mark.parametrize("cached", [False, True])
def test_a_batch_of_which_nothing_can_be_read_is_passed_over(images, tmp_path, cached, thaws):
    model = model_of(a=fk.Freeze.none() if thaws else None)
    (images / "train" / "a" / "2.png").write_bytes(b"")
    cache = tmp_path / "c" if cached else None
    loader = loader_of(model, images, cache, broken="skip", batch_size=1, shuffle=False)
    whole = list(loader.read())
    assert len(whole) == len(loader) == COUNT
    lost = [batch for batch in whole if not len(batch)]
    assert [name for batch in lost for name, _ in batch.broken] == ["train/a/2.png"]
    assert [each.ids for each in loader] == [each.ids for each in whole if len(each)]
    shared = loader_of(
        model, images, cache, broken="skip", batch_size=1, rank=1, world=2, shuffle=False
    )
    message = "none of the 1 samples of a batch can be read, and processes need equally many"
    with pytest.raises(fk.DataError, match=message):
        list(shared)


def test_a_run_goes_on_in_the_middle_of_an_epoch(images, tmp_path):
    model = model_of()
    loader = loader_of(model, images, tmp_path / "cache")
    loader.set_epoch(3)
    whole = [batch.ids for batch in loader]
    loader.set_epoch(3, start=1)
    assert [batch.ids for batch in loader] == whole[1:]


def test_samples_that_only_fill_up_a_batch_do_not_count(images, tmp_path):
    model = model_of()
    loader = loader_of(
        model, images, tmp_path / "cache", rank=1, world=3, shuffle=False, batch_size=2
    )
    counted = [batch.counted.tolist() for batch in loader]
    live = loader_of(model, images, rank=1, world=3, shuffle=False, batch_size=2)
    assert counted == [batch.counted.tolist() for batch in live]
    assert sum(map(sum, counted)) == 3


def test_a_thaw_in_the_middle_of_an_epoch_is_refused(images, tmp_path):
    model = model_of(b=THAWS)
    batches = iter(loader_of(model, images, tmp_path / "cache"))
    next(batches)
    model.set_epoch(2)
    with pytest.raises(fk.CacheError, match=r"branch 'b' thawed while .* call model.set_epoch"):
        next(batches)


def test_the_cache_is_told_apart_by_autocast(images, tmp_path):
    model = model_of()
    loader = loader_of(model, images, tmp_path / "cache", autocast=torch.bfloat16)
    assert next(iter(loader)).features["a"].vector.dtype == torch.bfloat16
    answers(model, loader_of(model, images, tmp_path / "cache"))
    keys = [json.loads(path.read_text()) for path in (tmp_path / "cache").rglob("key.json")]
    assert sorted(str(key["autocast"]) for key in keys) == ["BF16", "BF16", "None", "None"]


def test_channels_last_is_a_layout_and_no_other_answer(images, tmp_path):
    model = model_of()
    live = loader_of(model, images, channels_last=True)
    batch = next(iter(live))
    assert batch.inputs["a"].is_contiguous(memory_format=torch.channels_last)
    cached = loader_of(model, images, tmp_path / "cache", channels_last=True)
    same(answers(model, cached), answers(model, loader_of(model, images)))


def test_filling_is_told(images, tmp_path):
    told = []
    model = model_of()
    list(loader_of(model, images, tmp_path / "c", on_fill=lambda *each: told.append(each)))
    assert told == [(4, 10), (8, 10), (10, 10)]


def test_the_model_may_prepare_images_itself(images, tmp_path):
    model = model_of(preprocess="inside")
    found = answers(model, loader_of(model, images, tmp_path / "cache"))
    same(found, answers(model, loader_of(model, images)))


def test_workers_load_and_fill(images, tmp_path):
    model = model_of(b=fk.Freeze.none())
    loader = loader_of(model, images, tmp_path / "cache", workers=1, pin_memory=False)
    expected = answers(model.eval(), loader_of(model, images))
    same(answers(model, loader), expected)
    same(answers(model, loader), expected)
    loader.close()


class TextNet(fk.Backbone):
    """Averages the embeddings of tokens, given as a mapping."""

    takes_images = False
    embed_dim = 6
    stages = (fk.Stage("table"),)

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(30, 6)

    def check_input(self, x) -> None:
        assert x["ids"].ndim == 2

    def example(self, batch=2):
        ids = torch.arange(batch * 4).reshape(batch, 4) % 30
        return {"ids": ids, "attention_mask": torch.ones_like(ids)}

    def forward(self, x, reads):
        kept = x["attention_mask"][..., None]
        return fk.Features((self.table(x["ids"]) * kept).sum(1) / kept.sum(1))


def text_net(*, in_channels, weights, num_classes):
    return TextNet()


def lengths(text: str) -> dict[str, torch.Tensor]:
    ids = torch.tensor([len(word) for word in text.split()])
    return {"ids": ids, "attention_mask": torch.ones_like(ids)}


@pytest.mark.parametrize("labels", [(0, 1), (None, None)])
def test_texts_are_cached_too_with_or_without_labels(tmp_path, labels):
    torch.manual_seed(0)
    model = fk.compose(
        {"text": fk.Branch("odd/text", weights=None, input="text", freeze=fk.Freeze.all())},
        "odd/sum",
        2,
        catalog=odd_catalog({"text": text_net}),
    )
    texts = ["a word", "some more words here", "one", "and these three"]
    samples = ListedSamples(
        [Sample(str(row), {"text": each}, labels[row % 2]) for row, each in enumerate(texts)],
        ("x", "y"),
        ("text",),
    )
    told = []
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):
        dataset = PreparedDataset(samples, model, encoders={"text": lengths})
        loader = FeatureLoader(model, dataset, EpochSampler(4, 3), cache=cache)
        told.append(answers(model, loader))
        known = next(iter(loader)).labels
        assert (known is None) == (labels[0] is None)
    same(told[1], told[0])
    same(told[2], told[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": nn.Linear(1, 1)}, "takes the FusedModel itself, got Linear"),
        ({"dataset": [1]}, "takes a PreparedDataset, got list"),
        ({"sampler": 3}, "takes an EpochSampler, got int"),
        ({"views": -1}, "views is a number of augmented views, got -1"),
        ({"views": 2}, "views=2 keeps augmented views.*augments nothing"),
        ({"cache": 7}, "cache is True, False, a folder or a FeatureCache"),
    ],
)
def test_arguments_of_another_kind_are_refused(images, change, message):
    model = model_of()
    samples = samples_of(images)
    given = {
        "model": model,
        "dataset": PreparedDataset(samples, model),
        "sampler": EpochSampler(len(samples), 4),
        "cache": None,
        **change,
    }
    with pytest.raises(fk.ConfigError, match=message):
        FeatureLoader(given.pop("model"), given.pop("dataset"), given.pop("sampler"), **given)
