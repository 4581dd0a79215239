"""What a backbone says of itself in ``unread`` is taken, or refused with what is wrong."""

from __future__ import annotations

import pytest
from torch import nn

import fusionkit as fk
from fusionkit.assembly.unread import find_unread

VECTOR = fk.Reads(vector=True)


class Spare(fk.Backbone):
    def __init__(self, unread):
        super().__init__()
        self.embed_dim = 4
        self.top = nn.Linear(3, 4)
        self.spare = nn.Linear(3, 4)
        self.stages = (fk.Stage("top"), fk.Stage("spare"))
        if unread is not None:
            self.unread = unread

    def forward(self, x, reads):
        return fk.Features(vector=self.top(x.mean((2, 3))))


def test_it_is_found_out_where_nothing_is_said():
    assert find_unread(Spare(None), VECTOR) == {"spare.weight", "spare.bias"}
    assert find_unread(Spare({"logits": ()}), VECTOR) == {"spare.weight", "spare.bias"}


def test_it_is_taken_where_it_is_said():
    assert find_unread(Spare({"vector": ("spare.bias",)}), VECTOR) == {"spare.bias"}


@pytest.mark.parametrize(
    ("unread", "said"),
    [
        (("top.weight",), "`unread` is a mapping from 'vector' and 'logits'"),
        ({"vector": "spare.weight"}, r"tuples of parameters.*got {'vector': 'spare.weight'}"),
        ({"vectors": ("spare.weight",)}, "got {'vectors'"),
        ({"vector": (["spare.weight"],)}, "tuples of parameters"),
        ({"vector": ("spare.wieght",)}, "no parameter of its trunk. Did you mean 'spare.weight'"),
        ({"vector": ("spare.*",)}, r"names 'spare\.\*', which is no parameter"),
    ],
)
def test_what_is_no_account_of_parameters_is_refused(unread, said):
    class Plugin:
        @fk.hookimpl
        def fusionkit_backbones(self):
            return {"spare": lambda *, in_channels, weights, num_classes: Spare(unread)}

    catalog = fk.Catalog.installed().with_plugin("toy", Plugin())
    with pytest.raises(fk.AssemblyError, match=said) as caught:
        fk.compose({"a": fk.Branch("toy/spare", weights=None)}, "concat", 2, catalog=catalog)
    assert str(caught.value).startswith("branch 'a' (toy/spare)")


def test_each_timm_model_has_its_own():
    one, other = (
        fk.compose({"a": fk.Branch("timm/test_resnet", weights=None)}, "concat", 2).branches["a"]
        for _ in range(2)
    )
    assert one.unread == other.unread
    assert one.unread is not other.unread
    one.unread["vector"] = ("conv1.0.weight",)
    later = fk.compose({"a": fk.Branch("timm/test_resnet", weights=None)}, "concat", 2)
    assert later.branches["a"].unread == other.unread
