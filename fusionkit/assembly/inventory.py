"""What a model holds when it is composed, and what was changed in it since."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

__all__ = ["find_change", "record_inventory"]

ATTRIBUTE = "composed_shapes"
Shapes = dict[str, tuple[int, ...] | None]


def record_inventory(model: nn.Module) -> None:
    """Notes in the model the names and shapes of its tensors, to tell later changes by."""
    vars(model)[ATTRIBUTE] = _shapes(model)


def find_change(model: nn.Module) -> str:
    """Says what was added to, taken out of or exchanged in a model since it was composed.

    Gives an empty string where nothing was, or where nothing was noted.
    """
    before: Shapes | None = vars(model).get(ATTRIBUTE)
    if before is None:
        return ""
    now = _shapes(model)
    for name, shape in now.items():
        if name not in before:
            return f"{name!r:.200} was not there when it was composed"
        was = before[name]
        if was is not None and shape is not None and shape != was:
            return f"{name!r:.200} had the shape {was} when it was composed, and now has {shape}"
    gone = [name for name in before if name not in now]
    return f"{gone[0]!r:.200} is gone since it was composed" if gone else ""


def _shapes(model: nn.Module) -> Shapes:
    """Gives the shape of every saved tensor, tied ones by their first name; ``None``: not yet."""
    shapes: Shapes = {}
    seen: set[int] = set()
    for name, value in model.state_dict(keep_vars=True).items():
        if isinstance(value, Tensor) and id(value) not in seen:
            seen.add(id(value))
            shapes[name] = None if is_lazy(value) else tuple(value.shape)
    return shapes
