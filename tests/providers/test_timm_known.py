"""What is known of a timm model before is what running it shows, and is used for it alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import timm
import torch
from write_descriptions import measure, ways_of

import fusionkit as fk
from fusionkit.providers.timm import describe as room
from fusionkit.providers.timm.create import create_model
from fusionkit.providers.timm.describe import describe
from fusionkit.providers.timm.known import identify, path_for, recall
from fusionkit.providers.timm.names import find_source

MODELS = (
    *("test_resnet", "test_vit", "test_efficientnet", "test_convnext", "mobilenetv3_small_050"),
    *("levit_128s", "regnety_002", "repghostnet_050", "swin_s3_tiny_224", "xcit_nano_12_p16_224"),
    *("crossvit_9_240", "deit_tiny_distilled_patch16_224", "densenet121", "vit_base_patch16_224"),
)

pytestmark = pytest.mark.skipif(
    not path_for(timm.__version__).is_file(),
    reason=f"no descriptions of timm {timm.__version__}: write_descriptions.py makes them",
)


@pytest.fixture(autouse=True)
def _forget():
    room._describe.cache_clear()
    yield
    room._describe.cache_clear()


def recalled(name, keeps=False):
    return recall(ways_of(name)[keeps])


@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_what_is_known_is_what_running_shows(name, keeps):
    shown = measure(name, keeps=keeps)
    stored = replace(shown.description, no_weight_decay=frozenset())
    assert recalled(name, keeps) == replace(shown, description=stored)
    room._describe.cache_clear()
    assert describe(find_source(name, None), 3, keeps, {}) == shown.description


def test_every_model_is_known_with_and_without_its_classifier():
    ways = [way for name in timm.list_models() for way in ways_of(name)]
    assert [way for way in ways if recall(way) is None] == []


class WasRunError(Exception):
    """Nothing that a model raises by itself."""


def test_a_known_model_is_not_run(monkeypatch):
    def refuse(*_, **__):
        raise WasRunError

    monkeypatch.setattr(room, "trace_model", refuse)
    source = find_source("test_resnet", None)
    assert describe(source, 3, False, {}).embed_dim == 96
    with pytest.raises(WasRunError):
        describe(source, 4, False, {})
    with pytest.raises(WasRunError):
        describe(source, 3, False, {"drop_path_rate": 0.1})
    with pytest.raises(WasRunError):
        describe(replace(source, is_registered=False), 3, False, {})


def test_a_model_that_is_another_by_now_is_run(monkeypatch):
    source = find_source("test_resnet", None)
    wrong = replace(recalled("test_resnet").description, embed_dim=7)
    monkeypatch.setattr(room, "recall", lambda *_: replace(recalled("test_resnet"), model="x"))
    assert describe(source, 3, False, {}).embed_dim != wrong.embed_dim


def test_a_name_that_was_registered_anew_is_run(monkeypatch):
    original = timm.models.model_entrypoint("test_resnet")

    def mine(**options):
        return original(**options)

    mine.__module__ = "somebody.elses"
    monkeypatch.setitem(timm.models._registry._model_entrypoints, "test_resnet", mine)
    monkeypatch.setattr(room, "recall", lambda *_: pytest.fail("it was taken for timm's own"))
    assert describe(find_source("test_resnet", None), 3, False, {}).embed_dim == 96


def test_of_another_timm_nothing_is_known(monkeypatch):
    monkeypatch.setattr(timm, "__version__", "0.0.1")
    assert recalled("test_resnet") is None
    assert describe(find_source("test_resnet", None), 3, False, {}).stages


def test_a_tag_for_another_size_is_described_by_itself():
    way = ways_of("convnext_base")[0]
    assert recall(way) is not None
    assert recall(way._replace(size=(way.size[0] + 32, way.size[1]))) is None


def test_a_model_is_known_by_class_names_and_shapes():
    model = timm.create_model("test_resnet")
    assert identify(model) == identify(timm.create_model("test_resnet"))
    assert identify(model) != identify(timm.create_model("test_resnet", num_classes=3))
    with torch.device("meta"):
        assert identify(create_model(find_source("test_resnet", None), 3, True, {})) == identify(
            model
        )


@pytest.mark.parametrize("head", ["concat", "mean_logits"])
def test_a_composed_model_learns_what_a_twin_would_say(head):
    name = "timm/mobilenetv3_small_050"
    branch = fk.Branch(name, weights=None)
    told = fk.compose({"a": branch}, head=head, num_classes=1000)
    asked = fk.compose({"a": replace(branch, options={"drop_rate": 0.0})}, head, 1000)
    assert told.branches["a"].unread
    assert not asked.branches["a"].unread
    found, expected = (
        {name: value.requires_grad for name, value in model.named_parameters()}
        for model in (told, asked)
    )
    assert found == expected
