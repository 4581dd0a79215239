"""The plan's picture shows what the plan says, in the colours of its rates."""

from __future__ import annotations

import pytest
from loops import build

import fusionkit as fk
from fusionkit.training import draw_plan, plan

pytest.importorskip("matplotlib", reason="draws with matplotlib, of the extra 'train'")


def test_every_cell_has_its_colour(tmp_path) -> None:
    from PIL import Image

    path = draw_plan(plan(build(), 8, lr=1e-2), tmp_path / "plan.png")
    picture = Image.open(path).convert("RGB")
    assert picture.width >= 600
    colours = {colour for _, colour in picture.getcolors(1 << 24)}
    assert (230, 230, 230) in colours  # frozen
    assert (253, 231, 37) in colours  # the highest rate, the head's


def test_a_vector_picture_names_every_stage(tmp_path) -> None:
    from matplotlib import rc_context

    with rc_context({"svg.fonttype": "none"}):
        drawn = draw_plan(plan(build(), 3, lr=1e-2), tmp_path / "plan.svg").read_text()
    for title in ("a  stem", "b  top", "head", "hatched: thaws when val_loss stalls"):
        assert title in drawn


@pytest.mark.parametrize("name", ["plan.xyz", "missing/plan.png"])
def test_where_it_cannot_be_written(tmp_path, name: str) -> None:
    with pytest.raises(fk.ConfigError, match="cannot draw the plan into"):
        draw_plan(plan(build(), 3, lr=1e-2), tmp_path / name)
