"""``ModelCard``: what a card says beyond what the model itself tells."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from fusionkit.errors import ConfigError
from fusionkit.numbers import is_number

__all__ = ["ModelCard", "is_hub_name"]

HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What the ``README.md`` of a saved model says of its training, in the words of the hub.

    Branches, weights, licences, inputs, head and policies are filled in from the model.

    Attributes:
        name: of the repository, ``owner/name``, so that the card shows how to load from there.
        description: a few sentences of Markdown on what the model is for.
        metrics: what was measured, by name, for example ``{"accuracy": 0.93}``.
        dataset: on what it was measured: a data set's name on the hub, or in words.
        license: under which the model is given, in the hub's spelling: ``"apache-2.0"``.
        language: codes such as ``"en"``.
        tags: further ones for the hub's search.
        classes: the names of the classes, in the order of the answers; by default the recipe's.
        task: the hub's ``pipeline_tag``; ``None`` takes image or video classification where the
            branches take images or clips.
    """

    name: str | None = None
    description: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    dataset: str | None = None
    license: str | None = None
    language: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    task: str | None = None

    def __post_init__(self) -> None:
        if self.name is not None and not is_hub_name(self.name):
            raise ConfigError(f"ModelCard.name is 'owner/name', got {self.name!r:.80}")
        for key in ("dataset", "license", "task"):
            if getattr(self, key) is not None and not _is_line(getattr(self, key)):
                raise ConfigError(
                    f"ModelCard.{key} is one line of text, got {getattr(self, key)!r:.80}"
                )
        for key in ("language", "tags", "classes"):
            texts = getattr(self, key)
            if not isinstance(texts, (list, tuple)) or not all(map(_is_line, texts)):
                raise ConfigError(f"ModelCard.{key} is a list of texts, got {texts!r:.80}")
            object.__setattr__(self, key, tuple(texts))
        if not isinstance(self.description, str):
            raise ConfigError(f"ModelCard.description is a text, got {self.description!r:.80}")
        _check_metrics(self.metrics)
        object.__setattr__(self, "metrics", dict(self.metrics))
        if self.metrics and self.dataset is None:
            raise ConfigError(
                "ModelCard.metrics say nothing without the data they were measured on; "
                "write ModelCard(dataset=..., metrics=...)"
            )


def is_hub_name(name: object) -> bool:
    """Tells whether something has the form ``owner/name``."""
    return isinstance(name, str) and HUB_NAME.fullmatch(name) is not None and len(name) <= 200


def _check_metrics(metrics: object) -> None:
    right = isinstance(metrics, Mapping) and all(
        _is_line(name) and is_number(value) and math.isfinite(value)
        for name, value in metrics.items()
    )
    if not right:
        raise ConfigError(
            "ModelCard.metrics are finite numbers by name, for example {'accuracy': 0.93}; "
            f"got {metrics!r:.80}"
        )


def _is_line(text: object) -> bool:
    return isinstance(text, str) and bool(text.strip()) and text.isprintable()
