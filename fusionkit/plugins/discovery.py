"""Reads the entry points of the installed distributions, without importing any plugin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions

__all__ = ["GROUP", "Candidate", "Skipped", "discover"]

GROUP = "fusionkit"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One entry point of the group ``fusionkit``, not imported yet.

    Attributes:
        name: the entry point's name, and so the namespace of what the plugin offers.
        value: where the plugin is, ``module`` or ``module:attribute``.
        distribution: the name of the distribution that it came with.
        version: that distribution's version.
    """

    name: str
    value: str
    distribution: str
    version: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A distribution whose entry points could not be read, and why."""

    distribution: str
    reason: str


def discover() -> tuple[tuple[Candidate, ...], tuple[Skipped, ...]]:
    """Gives the plugins of all installed distributions, and the distributions it had to skip.

    Of two distributions of one name the first on ``sys.path`` counts, as it does for Python.
    """
    candidates: list[Candidate] = []
    skipped: list[Skipped] = []
    seen: set[str] = set()
    for found in distributions():
        if not _may_concern_us(found):
            continue
        name = _name_of(found)
        if name in seen:
            continue
        seen.add(name)
        first = _first_named(name) or found
        version = _version_of(first)
        try:
            entries = list(_entries(_read(first)))
        except ValueError as error:
            skipped.append(Skipped(f"{name} {version}".strip(), str(error)))
            continue
        candidates += [
            Candidate(entry, value, name, version)
            for group, entry, value in entries
            if group == GROUP
        ]
    return tuple(candidates), tuple(skipped)


def _may_concern_us(found: Distribution) -> bool:
    """Tells whether a distribution offers plugins, or might and cannot be read."""
    try:
        return any(group == GROUP for group, _, _ in _entries(_read(found)))
    except ValueError:
        return True


def _read(found: Distribution) -> str:
    try:
        return found.read_text("entry_points.txt") or ""
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"entry_points.txt cannot be read: {error}") from error


def _entries(text: str) -> Iterator[tuple[str, str, str]]:
    """Gives (group, name, value) of each line, and refuses the lines that Python passes over."""
    group = ""
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1].strip()
            continue
        name, separator, value = line.partition("=")
        if not group or not separator:
            shown = line if len(line) <= 40 else line[:37] + "..."
            raise ValueError(
                f"entry_points.txt, line {number}: {shown!r} is no 'name = module' in a [group]"
            )
        yield group, name.strip(), value.strip()


def _name_of(found: Distribution) -> str:
    """Gives the distribution's own name, or where it is when it does not say."""
    try:
        name = found.metadata["Name"]
    except Exception:  # unreadable or missing METADATA comes as many kinds of error
        name = None
    return str(name or getattr(found, "_path", None) or "a distribution without a name")


def _version_of(found: Distribution) -> str:
    try:
        return str(found.version or "")
    except Exception:  # as above
        return ""


def _first_named(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except (PackageNotFoundError, ValueError):
        return None
