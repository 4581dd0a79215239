"""``Row``: what is kept of one model, one line of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, TypeAlias

__all__ = ["Mode", "Row"]

Mode: TypeAlias = Literal["full", "meta"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What came of asking one model.

    Attributes:
        model: ``provider/name``.
        family: what it is counted under.
        versions: of torch and of what the model comes with, by distribution.
        checks: a digest of the names of all checks that are not slow, or of those asked for.
        also: the slow checks that were asked beyond these.
        partial: whether only some checks were asked for by name.
        mode: ``"meta"`` if it was built without data and asked for shapes and structure only.
        why: why it was not asked everything.
        memory_gib: what it could hold, if that was too little to be asked everything.
        minutes: what it could take, likewise.
        options: that it was built with, to be small.
        parameters: how many numbers it learns.
        input: the shape of one sample, or a short account of what is not a tensor.
        seconds: of processor time, all checks together.
        peak_mib: the most memory that its process held.
        passed: how many checks it passed.
        skipped: causes, by the name of the check.
        expected: causes of announced failures, by the name of the check.
        failed: what was found, by the name of the check.
        fault: how its process ended, if not by itself.
    """

    model: str
    family: str
    versions: Mapping[str, str] = field(default_factory=dict)
    checks: str = ""
    also: tuple[str, ...] = ()
    partial: bool = False
    mode: Mode = "full"
    why: str = ""
    memory_gib: float = 0.0
    minutes: float = 0.0
    options: Mapping[str, Any] = field(default_factory=dict)
    parameters: int = 0
    input: str = ""
    seconds: float = 0.0
    peak_mib: int = 0
    passed: int = 0
    skipped: Mapping[str, str] = field(default_factory=dict)
    expected: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fault: str = ""

    @property
    def provider(self) -> str:
        """The provider's name."""
        return self.model.partition("/")[0]

    @property
    def is_good(self) -> bool:
        """Whether nothing failed that was not announced."""
        return not self.failed and not self.fault

    @property
    def limit(self) -> str:
        """The part of ``why`` that many models share: its figures stand after a colon."""
        return self.why.partition(":")[0]

    def answers(self, wanted: Row) -> bool:
        """Whether asking again as ``wanted`` says would ask nothing new."""
        return (
            self.versions == wanted.versions
            and self.checks == wanted.checks
            and self.partial == wanted.partial
            and set(wanted.also) <= set(self.also)
        )

    def was_short(self, memory_gib: float, minutes: float) -> bool:
        """Whether it was stopped by less memory or less time than this."""
        return 0 < self.memory_gib < memory_gib or 0 < self.minutes < minutes

    def dump(self) -> str:
        """Gives one line of JSON, without what is empty or the most common."""
        kept = {key: value for key, value in asdict(self).items() if value and value != "full"}
        return json.dumps(kept, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def parse(cls, line: str) -> Row:
        """Reads what ``dump`` gave.

        Raises:
            ValueError: it is no JSON, or no row.
        """
        return cls.revive(json.loads(line))

    @classmethod
    def revive(cls, given: Any) -> Row:
        """Gives the row whose fields are ``given``, as they come out of JSON.

        Raises:
            ValueError: that is no row.
        """
        if not isinstance(given, dict) or not {"model", "family"} <= given.keys():
            raise ValueError("no row of a sweep")
        unknown = given.keys() - {each.name for each in fields(cls)}
        if unknown:
            raise ValueError(f"no row of a sweep: it has {', '.join(sorted(unknown))}")
        failed = {check: tuple(what) for check, what in given.get("failed", {}).items()}
        return cls(**{**given, "also": tuple(given.get("also", ())), "failed": failed})
