"""One YAML document, built event by event into plain data."""

from __future__ import annotations

from typing import Any, NoReturn

import yaml

from fusionkit.errors import ConfigError
from fusionkit.recipe.plain import MAX_DEPTH
from fusionkit.recipe.scalars import read_scalar

__all__ = ["MAX_VALUES", "Document"]

MAX_VALUES = 10_000
"""How many values a text may hold, counting those that aliases repeat."""


class Document:
    """Plain data that grows with the events of one YAML document.

    Attributes:
        root: what the document holds; ``None`` where it is empty.
    """

    def __init__(self, source: str) -> None:
        self.root: Any = None
        self._source = source
        self._open: list[_Collection] = []
        self._anchors: dict[str, Any] = {}
        self._documents = 0
        self._values = 0

    def take(self, event: yaml.Event) -> None:
        """Takes the next event."""
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._refuse("a second document begins; a file holds one", event)
            if event.version is not None and event.version != (1, 2):
                self._refuse("this is read as YAML 1.2; remove the %YAML line", event)
        elif isinstance(event, yaml.AliasEvent):
            self._add(self._repeat(event), event)
        elif isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)):
            self._take_node(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()

    def _take_node(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        if event.tag is not None:
            self._refuse(f"tags such as {event.tag[:40]!r} are not read; remove it", event)
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
            self._add(value, event)
        else:
            value = {} if isinstance(event, yaml.MappingStartEvent) else []
            self._add(value, event)
            self._open.append(_Collection(value))
            if len(self._open) > MAX_DEPTH:
                self._refuse(f"nested deeper than {MAX_DEPTH} levels", event)
        if event.anchor is not None:
            if event.anchor in self._anchors:
                self._refuse(f"the anchor '&{event.anchor[:80]}' stands twice", event)
            self._anchors[event.anchor] = value

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        if not event.implicit[0]:
            return event.value
        if event.value == "<<" and self._open and self._open[-1].wants_key:
            self._refuse("merge keys ('<<') are not in YAML 1.2; write the fields out", event)
        try:
            return read_scalar(event.value)
        except ValueError as error:
            self._refuse(str(error), event)

    def _add(self, value: Any, event: yaml.Event) -> None:
        self._count(event)
        if not self._open:
            self.root = value
            return
        inside = self._open[-1]
        if not inside.wants_key:
            inside.put(value)
            return
        if not isinstance(value, str):
            shown = "a list or mapping" if isinstance(value, (list, dict)) else repr(value)[:80]
            self._refuse(f"a key must be text, got {shown}; put it in quotes", event)
        if value in inside.value:
            self._refuse(f"the key {value[:80]!r} stands twice", event)
        inside.key = value

    def _repeat(self, event: yaml.AliasEvent) -> Any:
        name = str(event.anchor)
        if name not in self._anchors:
            self._refuse(f"'*{name:.80}' refers to an anchor that is not above it", event)
        value = self._anchors[name]
        if any(inside.value is value for inside in self._open):
            self._refuse(f"'*{name:.80}' refers to what it stands in", event)
        return self._copy(value, event, len(self._open))

    def _copy(self, value: Any, event: yaml.Event, depth: int) -> Any:
        if depth > MAX_DEPTH:
            self._refuse(f"nested deeper than {MAX_DEPTH} levels", event)
        self._count(event)
        if isinstance(value, dict):
            return {key: self._copy(item, event, depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [self._copy(item, event, depth + 1) for item in value]
        return value

    def _count(self, event: yaml.Event) -> None:
        self._values += 1
        if self._values > MAX_VALUES:
            self._refuse(f"more than {MAX_VALUES:,} values, aliases counted", event)

    def _refuse(self, message: str, event: yaml.Event) -> NoReturn:
        mark = event.start_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        raise ConfigError(f"{self._source}{line}: {message}")


class _Collection:
    """A list or mapping that is being filled; ``key`` waits for its value."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.key: str | None = None

    @property
    def wants_key(self) -> bool:
        return isinstance(self.value, dict) and self.key is None

    def put(self, value: Any) -> None:
        if isinstance(self.value, list):
            self.value.append(value)
        else:
            self.value[self.key] = value
            self.key = None
