"""The mean of models, by hand and from folders; what is equal stays bit for bit."""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

import pytest
import torch
from odd_toys import build, odd_catalog
from surgery_toys import BRANCHES, CATALOG, INPUTS, assert_same, fused, memory_of, tensors_of
from toys import perturb

import fusionkit as fk
from fusionkit.surgery import average as module


def frozen_alike(count=3):
    """Gives models that were trained apart: equal where they are frozen."""
    models = []
    for seed in range(count):
        model = fused().train()
        for name, value in model.named_parameters():
            if value.requires_grad:
                with torch.no_grad():
                    value.add_(torch.randn(value.shape, generator=_generator(seed, name)))
        models.append(model)
    return models


def _generator(seed, name):
    return torch.Generator().manual_seed(seed * 1000 + len(name))


def test_it_is_the_mean_of_every_parameter_and_statistic():
    models = [fused(seed) for seed in range(3)]
    before = [tensors_of(model) for model in models]
    mean = fk.average(models)
    for name, value in mean.state_dict().items():
        each = [held[name] for held in before]
        if value.is_floating_point():
            by_hand = torch.stack([one.double() for one in each]).mean(0)
            torch.testing.assert_close(value.double(), by_hand, rtol=1e-6, atol=1e-7)
    for model, was in zip(models, before, strict=True):
        assert_same(tensors_of(model), was)
        assert not memory_of(model) & memory_of(mean)
    assert not mean.training
    assert mean(INPUTS).shape == (2, 3)


def test_weights_count():
    one, other = fused(0), fused(1)
    mean = fk.average([one, other], [3, 1])
    ours, theirs = one.head.out["rgb"].weight, other.head.out["rgb"].weight
    torch.testing.assert_close(mean.head.out["rgb"].weight, 0.75 * ours + 0.25 * theirs)
    assert_same(tensors_of(fk.average([one, other], [0, 2.0])), tensors_of(fk.average([other])))
    assert_same(tensors_of(fk.average([one, other], [1, 0])), tensors_of(one))


def test_equal_models_average_to_the_same_bits():
    model = fused()
    with torch.no_grad():
        model.branches["flow"].stem[0].weight[0, 0, 0] = -0.0
    same = fk.average([model] * 3, [0.1, 0.2, 0.4])
    assert_same(tensors_of(same), tensors_of(model))
    for name, value in model.named_parameters():
        assert torch.equal(value.signbit(), same.get_parameter(name).signbit())
    assert same is not model


def test_what_is_frozen_in_all_stays_bit_for_bit():
    models = frozen_alike()
    mean = fk.average(models)
    moved = 0
    for name, value in models[0].named_parameters():
        same = torch.equal(mean.get_parameter(name), value)
        assert same != value.requires_grad, name
        moved += not same
    assert moved


def test_policies_may_differ_and_are_the_first_ones():
    other = {name: replace(each, freeze=fk.Freeze.none(), lr=fk.LR(0.5))
             for name, each in BRANCHES.items()}  # fmt: skip
    mean = fk.average([fused(), fused(1, epoch=5, **other)])
    assert mean.recipe == fused().recipe
    assert mean.epoch == 3
    assert not any(p.requires_grad for p in mean.branches["rgb"].parameters())


def test_folders_are_loaded_one_after_another(tmp_path):
    models = [fused(seed) for seed in range(3)]
    folders = [fk.save(model, tmp_path / str(seed)) for seed, model in enumerate(models)]
    alive = []

    def spy(folder, catalog):
        assert sum(each() is not None for each in alive) <= 2
        from weakref import ref

        model = fk.load(folder, catalog=catalog)
        alive.append(ref(model))
        return model

    with mock.patch.object(module, "load", spy):
        mean = fk.average([folders[0], str(folders[1]), models[2]], catalog=CATALOG)
    assert len(alive) == 2
    assert_same(tensors_of(mean), tensors_of(fk.average(models)))


def test_counters_take_the_largest_and_other_whole_numbers_must_agree():
    models = [fused(), fused()]
    models[1].branches["flow"].stem[1].num_batches_tracked.fill_(7)
    models[0].branches["rgb"].stem[1].num_batches_tracked.fill_(4)
    mean = fk.average([*models, fused()])
    assert mean.branches["flow"].stem[1].num_batches_tracked == 7
    assert mean.branches["rgb"].stem[1].num_batches_tracked == 4


def with_table(values):
    class Table(type(build({"a": "odd"}).branches["a"])):
        def __init__(self, in_channels=3):
            super().__init__(in_channels)
            self.register_buffer("table", torch.tensor(values))

    def table(*, in_channels, weights, num_classes):
        return Table(in_channels)

    catalog = odd_catalog(backbones={"table": table})
    torch.manual_seed(0)
    branches = {"a": fk.Branch("odd/table", weights=None)}
    model = fk.compose(branches, "odd/sum", 5, catalog=catalog)
    perturb(model)
    return model


def test_whole_numbers_and_masks():
    assert_same(tensors_of(fk.average([with_table([1, 2])] * 2)), tensors_of(with_table([1, 2])))
    with pytest.raises(fk.CheckpointError, match=r"models\[1\]: 'branches\.a\.table' holds whole"):
        fk.average([with_table([1, 2]), with_table([1, 3])])
    mask = fk.average([with_table([0.0, -torch.inf]), with_table([1.0, -torch.inf])])
    assert mask.branches["a"].table.tolist() == [0.5, -torch.inf]


def test_ties_stay_ties_and_half_precision_stays_half():
    models = []
    for seed in range(2):
        model = build({"a": "tied"})
        perturb(model, seed)
        models.append(model.half())
    mean = fk.average(models)
    assert mean.branches["a"].two.weight is mean.branches["a"].three.weight
    assert mean.branches["a"].two.weight.dtype == torch.float16


def test_an_average_is_saved_and_loaded(tmp_path):
    mean = fk.average([fused(0), fused(1)])
    fk.save(mean, tmp_path / "soup")
    assert_same(tensors_of(fk.load(tmp_path / "soup", catalog=CATALOG)), tensors_of(mean))


@pytest.mark.parametrize(
    ("models", "weights", "message"),
    [
        (lambda: [], None, "at least one"),
        (lambda: "folder", None, "takes a list of models"),
        (fused, None, "takes a list of models"),
        (lambda: [torch.nn.Linear(1, 1)], None, "takes a FusedModel"),
        (lambda: [fused()] * 2, [1], "2 models, but 1 weights"),
        (lambda: [fused()] * 2, [1, -1], "0 or more"),
        (lambda: [fused()] * 2, [0, 0], "one is above 0"),
        (lambda: [fused()] * 2, [1, float("nan")], "0 or more"),
        (lambda: [fused()] * 2, [1, float("inf")], "0 or more"),
        (lambda: [fused()] * 2, [1, "1"], "0 or more"),
    ],
    ids=range(10),
)
def test_what_is_written_wrong(models, weights, message):
    with pytest.raises(fk.ConfigError, match=message):
        fk.average(models(), weights)


def test_a_diverged_model_is_named():
    broken = fused()
    with torch.no_grad():
        broken.head.out["rgb"].bias[0] = torch.nan
    with pytest.raises(fk.CheckpointError, match=r"models\[1\]: 'head\.out\.rgb\.bias' holds NaN"):
        fk.average([fused(), broken])
    with pytest.raises(fk.CheckpointError, match=r"models\[0\]: "):
        fk.average([broken])
