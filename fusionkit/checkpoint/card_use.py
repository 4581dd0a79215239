"""The section of a card that shows how the model is loaded and asked."""

from __future__ import annotations

import torch

from fusionkit.checkpoint.card_front import LIBRARY
from fusionkit.checkpoint.config import GIVEN, backbone_of
from fusionkit.model.fused import FusedModel

__all__ = ["format_use"]


def format_use(model: FusedModel, name: str | None, folder: str) -> str:
    """Gives the commands and the code that load the model and ask it once.

    Args:
        model: that is saved.
        name: of the repository on the hub; ``None`` where it is in none.
        folder: the name of the folder that it is saved to.
    """
    origins = [model.provenance.get(part, "") for part in (*sorted(model.parts), "head")]
    plugins = sorted({origin.split()[0] for origin in origins if origin and origin != GIVEN})
    needed = [LIBRARY, *(plugin for plugin in plugins if plugin != LIBRARY)]
    opened = f"from_pretrained({name!r}" if name else f"load({folder!r}"
    if GIVEN in origins:
        opened += ", catalog=catalog"
    code = ["import torch", "import fusionkit as fk", ""]
    if GIVEN in origins:
        code.append("# catalog: an fk.Catalog with the plugins that this model was built with")
    code.append(f"model = fk.{opened})" + (".float()" if _is_mixed(model) else ""))
    code += [*_inputs(model), "with torch.no_grad():", "    answer = model(inputs).argmax(1)"]
    return "\n".join(
        [
            "## Use",
            "",
            "```sh",
            f"pip install {' '.join(needed)}",
            "```",
            "",
            "```python",
            *code,
            "```",
        ]
    )


def _inputs(model: FusedModel) -> list[str]:
    """Gives the lines that make an input to try the model with."""
    if not len(model.prepare):
        return [
            "# yours, each prepared as it says below: for photographs by",
            "# model.branches[name].preprocessing.transform()",
            "inputs = {name: branch.example(1) for name, branch in model.branches.items()}",
        ]
    lines: dict[str, str] = {}
    for name, branch in sorted(model.recipe.branches.items()):
        made = f"model.branches[{name!r}].example(1)"
        if name in model.prepare:
            made = f"torch.rand{_shape(model, name)}  # raw, uint8 or in [0, 1]"
        lines.setdefault(branch.input, made)
    return ["inputs = {}", *(f"inputs[{name!r}] = {made}" for name, made in lines.items())]


def _shape(model: FusedModel, name: str) -> tuple[int, ...]:
    backbone = backbone_of(model, name)
    assert backbone.preprocessing is not None  # or there would be nothing to prepare it by
    frames = backbone.preprocessing.frames
    clip = () if frames is None else (frames,)
    return (1, backbone.in_channels, *clip, *backbone.preprocessing.size)


def _is_mixed(model: FusedModel) -> bool:
    """Tells whether inputs of the usual type would not do."""
    return any(
        parameter.is_floating_point() and parameter.dtype != torch.float32
        for parameter in model.parameters()
    )
