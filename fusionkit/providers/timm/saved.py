"""How a model is built again without the weights' tag, the folder or the hub it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fusionkit import OptionError
from fusionkit.providers.timm.names import Source

__all__ = ["describe_as", "rebuild_of", "without_places"]

PLACES = frozenset(("file", "source", "hf_hub_id", "hf_hub_filename", "url"))
LABELS = frozenset(("label_names", "label_descriptions", "state_dict"))
PARTS = ("model_args", "pretrained_cfg")


def without_places(description: Mapping[str, Any]) -> dict[str, Any]:
    """Gives timm's account of weights without where they lie."""
    return {key: value for key, value in description.items() if key not in PLACES}


def rebuild_of(
    source: Source, name: str, weights: str | None, options: Mapping[str, Any]
) -> tuple[str, dict[str, Any]] | None:
    """Gives ``Backbone.rebuild``: the tag's full name, or what a folder or the hub said.

    Args:
        source: what was built.
        name: by which it was asked for.
        weights: as they were asked for.
        options: as they were written.
    """
    if source.is_registered:
        same = weights is None or source.name == name
        return None if same else (source.name, dict(options))
    described = without_places(source.description)
    described = {key: value for key, value in described.items() if key not in LABELS}
    config = {"pretrained_cfg": described, "model_args": dict(source.options)}
    return source.architecture, {**options, "saved_config": config}


def describe_as(source: Source, weights: str | None, config: Any) -> Source:
    """Gives the source of the same architecture as another saved model was.

    Raises:
        OptionError: ``config`` is not of the form that ``rebuild_of`` gives, or weights are asked
            for, which are described by themselves.
    """
    if weights is not None or not source.is_registered:
        raise OptionError(
            f"timm/{source.name} takes `saved_config` only with an architecture and weights=None; "
            "the weights say themselves how they are built"
        )
    given = dict(config) if isinstance(config, Mapping) else {}
    parts = [dict(given[key]) for key in PARTS if isinstance(given.get(key), Mapping)]
    if len(parts) != len(PARTS) or len(given) != len(PARTS):
        raise OptionError(
            f"timm/{source.name}: `saved_config` must hold the mappings 'pretrained_cfg' and "
            f"'model_args', as a saved model's config.json does, got {config!r:.80}"
        )
    model_args, description = parts
    classes = description.get("num_classes", 1000)
    if not isinstance(classes, int) or isinstance(classes, bool) or classes < 0:
        raise OptionError(
            f"timm/{source.name}: num_classes in `saved_config` must be a whole number, "
            f"got {classes!r:.80}"
        )
    return replace(
        source,
        name=source.architecture,
        description=description,
        has_weights=False,
        options=model_args,
        is_registered=False,
    )
