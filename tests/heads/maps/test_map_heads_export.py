"""Every head on maps is exported with maps of odd, oblong, unequal sizes and any batch."""

from __future__ import annotations

import pytest
import torch
from toy_features import NUM_CLASSES, leaves, make_features, make_inputs, perturb

import fusionkit as fk
from fusionkit.heads.maps import HEADS
from fusionkit.heads.plugin import fusionkit_heads

OPTIONS = {"pyramid_fusion": {"width": 6}, "two_stream_maps": {"level": [0, -1], "hidden": 4}}


class BehindMaps(torch.nn.Module):
    """A head behind the maps of its branches, one after the other."""

    def __init__(self, head, features):
        super().__init__()
        self.head = head
        self.counts = {name: len(feature.maps) for name, feature in features.items()}

    def forward(self, *maps):
        rest = list(maps)
        return self.head(
            {
                name: fk.Features(maps=tuple(rest.pop(0) for _ in range(count)))
                for name, count in self.counts.items()
            }
        )


@pytest.mark.parametrize("absent", [None, "image"], ids=["all", "without image"])
@pytest.mark.parametrize("size", [(33, 100), (140, 40)], ids=str)
@pytest.mark.parametrize("name", HEADS)
@pytest.mark.filterwarnings("ignore:.*is deprecated.*:FutureWarning")
def test_export_with_any_batch(name, size, absent):
    inputs = make_inputs(3)
    head = fusionkit_heads()[name](inputs, num_classes=NUM_CLASSES, **OPTIONS.get(name, {}))
    perturb(head)

    def draw(batch):
        features = make_features(head, inputs, batch=batch, image_size=size)
        return {key: each for key, each in features.items() if key != absent}

    whole = BehindMaps(head, draw(3)).eval()
    maps = leaves(draw(3))
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(
        whole, tuple(maps), dynamic_shapes={"maps": tuple({0: batch} for _ in maps)}
    )
    for count in (1, 2, 7):
        given = leaves(draw(count))
        torch.testing.assert_close(program.module()(*given), whole(*given))
