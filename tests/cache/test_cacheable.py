"""F090: what cannot be cached is refused, with the cause and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from odd_toys import branch, build, images
from toys import perturb

import fusionkit as fk
from fusionkit.cache.agreement import check_repeatable, tolerance
from fusionkit.cache.cacheable import cacheable_branches, check_cacheable, check_worth


@dataclass
class Augment:
    is_random: bool


def model(**freezes: fk.Freeze) -> fk.FusedModel:
    built = build({name: branch("tiny", freeze=freeze) for name, freeze in freezes.items()})
    perturb(built)
    return built


def test_f090_a_branch_that_learns_is_refused():
    built = model(a=fk.Freeze.last(1))
    with pytest.raises(
        fk.CacheError,
        match=r"branch 'a' cannot be cached: 2 of its parameters learn at epoch 0, the first is "
        r"'top.weight'.*Freeze\.all\(\).*cache=False",
    ):
        check_cacheable(built, "a")


def test_f090_a_branch_is_refused_from_the_epoch_at_which_it_thaws():
    built = model(a=fk.Freeze.gradual(start=2))
    check_cacheable(built, "a")
    check_cacheable(built, "a", epoch=1)
    with pytest.raises(fk.CacheError, match="learn at epoch 2"):
        check_cacheable(built, "a", epoch=2)
    built.set_epoch(3)
    with pytest.raises(fk.CacheError, match="learn at epoch 3"):
        check_cacheable(built, "a")


def test_f090_random_augmentation_is_refused_unless_views_are_kept():
    built = model(a=fk.Freeze.all())
    with pytest.raises(fk.CacheError, match=r"augmented at random.*views=4"):
        check_cacheable(built, "a", Augment(True))
    check_cacheable(built, "a", Augment(True), views=4)
    check_cacheable(built, "a", Augment(False))


def test_a_branch_that_there_is_not_is_named():
    with pytest.raises(fk.CacheError, match=r"no branch 'aa'. Did you mean 'a'\?"):
        check_cacheable(model(a=fk.Freeze.all()), "aa")


def test_frozen_branches_are_found_for_an_epoch():
    built = model(a=fk.Freeze.all(), b=fk.Freeze.gradual(start=2), c=fk.Freeze.none())
    assert cacheable_branches(built) == ("a", "b")
    assert cacheable_branches(built, 2) == ("a",)
    assert cacheable_branches(built.set_epoch(2)) == ("a",)


def test_a_cache_that_could_never_hold_anything_is_refused():
    check_worth(model(a=fk.Freeze.none(), b=fk.Freeze.gradual(start=1)), None, 0)
    check_worth(model(a=fk.Freeze.gradual(start=1)).set_epoch(5), None, 0)  # resumed
    with pytest.raises(fk.CacheError, match=r"branch 'a' cannot be cached: .* learn at epoch 0"):
        check_worth(model(a=fk.Freeze.none(), b=fk.Freeze.last(1)), None, 0)
    with pytest.raises(fk.CacheError, match="branch 'b' cannot be cached: its input is augmented"):
        check_worth(model(a=fk.Freeze.none(), b=fk.Freeze.all()), Augment(True), 0)


@pytest.mark.parametrize("kind", ["tiny", "odd"])
def test_p8_frozen_features_are_the_same_each_time_and_alone_under_train(kind):
    torch.manual_seed(0)
    built = build({"a": branch(kind, freeze=fk.Freeze.all())})
    perturb(built)
    built.train()
    x = images(5)
    with torch.no_grad():
        first, again = built.features(x)["a"], built.features(x)["a"]
        alone = built.features(x[:1])["a"]
    assert torch.equal(first.vector, again.vector)
    bound = tolerance(torch.device("cpu"), torch.float32)
    check_repeatable("a", first, alone, lambda: alone, bound)
    torch.testing.assert_close(first.vector[:1], alone.vector)
