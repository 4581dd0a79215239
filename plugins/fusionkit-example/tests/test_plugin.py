from __future__ import annotations

import fusionkit as fk
import fusionkit.testing as kit
import torch


def test_the_plugin_keeps_its_promises():
    # its backbone and its head have tests of their own
    kit.check_plugin("example", backbones=[], heads=[])


def test_saved_and_loaded_to_the_same_bits(tmp_path):
    branch = fk.Branch("example/reversible", weights=None)
    model = fk.compose(
        {"a": branch, "b": branch},
        head="example/gated",
        num_classes=5,
    ).eval()
    again = fk.load(fk.save(model, tmp_path / "model"))
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(again(images), model(images))
