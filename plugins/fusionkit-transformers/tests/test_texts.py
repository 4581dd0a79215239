"""A text branch beside an image branch, and what a text branch refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from families import IMAGES, TEXTS, maker, perturb

import fusionkit as fk


def compose(**text: object) -> fk.FusedModel:
    torch.manual_seed(0)
    model = fk.compose(
        {
            "picture": fk.Branch(
                "hf/dinov2", input="image", weights=None, options={"config": IMAGES["dinov2"]}
            ),
            "caption": fk.Branch(
                "hf/bert", input="text", weights=None, options={"config": TEXTS["bert"]}, **text
            ),
        },
        head=fk.Head("concat", hidden=8),
        num_classes=3,
    )
    perturb(model)
    return model


def inputs(model: fk.FusedModel, batch: int = 4) -> dict[str, object]:
    return {
        "image": model.branches["picture"].example(batch),
        "text": model.branches["caption"].example(batch),
    }


def test_image_and_text_learn_together_and_come_back(tmp_path: Path) -> None:
    model = compose(freeze=fk.Freeze.last(1))
    x = inputs(model)
    optimizer = torch.optim.AdamW(model.param_groups(lr=1e-3, weight_decay=0.05))
    before = {name: value.clone() for name, value in model.named_parameters()}
    loss = torch.nn.functional.cross_entropy(model.train()(x), torch.tensor([0, 1, 2, 0]))
    loss.backward()
    optimizer.step()
    moved = {name for name, value in model.named_parameters() if not value.equal(before[name])}
    learns = {name for name, value in model.named_parameters() if value.requires_grad}
    assert moved == learns
    frozen = {name for name in before if ".caption." in name} - learns
    assert any("embeddings" in name for name in frozen)
    assert any("layer.2" in name for name in learns)
    again = fk.load(fk.save(model, tmp_path / "model"))
    with torch.no_grad():
        assert torch.equal(again.eval()(x), model.eval()(x))


def test_padding_changes_nothing() -> None:
    backbone = maker("bert")().eval()
    ids = torch.tensor([[5, 6, 7]])
    padded = {
        "input_ids": torch.tensor([[5, 6, 7, 0, 0]]),
        "attention_mask": torch.tensor([[1, 1, 1, 0, 0]]),
    }
    with torch.no_grad():
        bare = backbone({"input_ids": ids}, fk.Reads(vector=True)).vector
        vector = backbone(padded, fk.Reads(vector=True)).vector
    torch.testing.assert_close(vector, bare)


def test_the_example_is_the_same_at_each_call_and_has_padding() -> None:
    backbone = maker("roberta")()
    first, second = backbone.example(3), backbone.example(3)
    assert {name: value.tolist() for name, value in first.items()} == {
        name: value.tolist() for name, value in second.items()
    }
    assert first["attention_mask"].sum(1).tolist() == [8, 6, 8]
    backbone.check_input(first)


def test_what_a_text_branch_refuses() -> None:
    backbone = maker("roberta")()
    ids = torch.ones(2, 4, dtype=torch.long)
    for wrong, message in (
        (ids, "takes a mapping of tensors with 'input_ids'.*got Tensor"),
        ({"ids": ids}, "takes a mapping with 'input_ids', got 'ids'"),
        ({"input_ids": ids, "attention_maks": ids}, "takes no 'attention_maks'.*'attention_mask'"),
        ({"input_ids": [1, 2]}, "takes a tensor 'b n' as 'input_ids', got list"),
        ({"input_ids": ids[0]}, r"takes 'input_ids' 'b n' .* got \(4,\)"),
        ({"input_ids": ids, "attention_mask": ids[:, :3]}, r"of the shape of 'input_ids'"),
        ({"input_ids": ids.float()}, "whole numbers"),
        ({"input_ids": ids[:, :0]}, "'b n'"),
        ({"input_ids": ids.repeat(1, 6)}, "up to 18 tokens, got 24"),
    ):
        with pytest.raises(fk.DataError, match=message):
            backbone.check_input(wrong)


def test_int32_ids_are_taken() -> None:
    backbone = maker("bert")().eval()
    x = backbone.example(2)
    with torch.no_grad():
        vector = backbone(x, fk.Reads(vector=True)).vector
        narrow = backbone({k: v.int() for k, v in x.items()}, fk.Reads(vector=True)).vector
    assert torch.equal(vector, narrow)
