"""Names and shapes of a timm model's stock checkpoint, at the least cost."""

from __future__ import annotations

import warnings

from fusionkit.providers.timm.create import create_model
from fusionkit.providers.timm.names import find_source

__all__ = ["read_layout"]


def read_layout(name: str) -> tuple[dict[str, tuple[int, ...]], tuple[str, ...]]:
    """Gives shapes by name of what the trunk needs, and globs of what else there may be.

    Nothing is traced and no memory taken, so that all models can be looked at in a minute.
    """
    source = find_source(name, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a model that nobody gets
        model = create_model(source, 3, True, {}, device="meta")
    classifier = source.description.get("classifier") or ()
    paths = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    state = model.state_dict(keep_vars=True)
    first: dict[int, str] = {}
    for key, value in state.items():
        first.setdefault(id(value), key)
    own = {
        key
        for key in first.values()
        if not any(key == path or key.startswith(f"{path}.") for path in paths)
    }
    again = [key for key, value in state.items() if first[id(value)] != key]
    shapes = {key: tuple(value.shape) for key, value in state.items() if key in own}
    return shapes, (*again, *paths, *(f"{path}.*" for path in paths))
