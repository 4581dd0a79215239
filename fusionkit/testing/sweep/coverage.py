"""The page that says which models passed, and every exception with its cause."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from fusionkit.errors import ConfigError
from fusionkit.testing.sweep.asked import LATER
from fusionkit.testing.sweep.ledger import Ledger
from fusionkit.testing.sweep.row import Row

__all__ = ["read_results", "write_page"]

FEW = 30

HEAD = """\
# Which models pass

`python -m fusionkit.testing sweep --provider timm` asks every model that a provider lists
everything that `fusionkit.testing.check_backbone` asks but for its slow checks, with random
weights, at the smallest input that the model takes, each in a process of its own. This page is
written from its results by `python -m fusionkit.testing table`; a test says when it is old.

*On meta* are models too large or too slow for that, or left to a longer sweep: built without data,
they were asked only what shapes and structure can tell. A sweep goes on where the last one
stopped. It asks first the models that were left, then those that were asked another set of checks,
as the kit had it before, or in other versions; how many are how far stands under each provider. An
*exception* is a failure that is known and has a cause; one that passes after all would count as a
failure."""


def read_results(folder: Path) -> dict[str, list[Row]]:
    """Gives the rows of each provider, by its name, sorted.

    Raises:
        ConfigError: there are none, or a file is damaged.
    """
    paths = sorted(folder.glob("*.jsonl"))
    found = {
        path.stem: list(Ledger(path).read().values())
        for path in paths
        if not path.stem.endswith(".partial")
    }
    rows = {provider: rows for provider, rows in found.items() if rows}
    if not rows:
        raise ConfigError(
            f"there are no results in {folder}; run "
            "`python -m fusionkit.testing sweep --provider timm` first, or give --results"
        )
    return rows


def write_page(results: Mapping[str, Sequence[Row]], today: str) -> str:
    """Gives the page as Markdown, always the same for the same results.

    Args:
        results: the rows of each provider.
        today: the digest of what a sweep asks now; rows of another are told apart.
    """
    parts = [HEAD, *_totals(results)]
    for provider, rows in results.items():
        parts += [f"## {provider}", *_asked(rows, today), *_families(rows)]
    everything = [row for rows in results.values() for row in rows]
    parts += ["## Failures", *_failures(everything)]
    parts += ["## Exceptions", *_exceptions(everything)]
    parts += ["## On meta only", *_on_meta(everything)]
    parts += ["## Checks that gave no occasion", *_skipped(everything)]
    return "\n\n".join(parts) + "\n"


def _totals(results: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    head = ("provider", "models", *(title for title, _ in _COLUMNS), "checks passed")
    lines = []
    for provider, rows in results.items():
        counts = [sum(map(counted, rows)) for _, counted in _COLUMNS]
        lines.append((provider, len(rows), *counts, f"{sum(row.passed for row in rows):,}"))
    yield _table(head, lines)


_COLUMNS = (
    ("passed whole", lambda row: row.is_good and row.mode == "full" and not row.expected),
    ("with exceptions", lambda row: row.is_good and bool(row.expected)),
    ("on meta", lambda row: row.is_good and row.mode == "meta" and not row.expected),
    ("failed", lambda row: not row.is_good),
)


_KINDS: tuple[tuple[str, Callable[[Row, str], bool]], ...] = (
    ("asked everything", lambda row, today: row.checks == today and row.mode == "full"),
    ("asked what needs no data", lambda row, today: row.checks == today),
    ("asked another set of checks", lambda row, today: row.why != LATER),
    ("left to the next sweep", lambda row, today: True),
)
"""What is said of a model that was asked so, given the mark of today's checks; the first counts."""


def _asked(rows: Sequence[Row], today: str) -> Iterator[str]:
    """Tells how many models were asked what, in which versions; several while a sweep goes on."""
    sets: Counter[tuple[int, str]] = Counter()
    for row in rows:
        kind = next(index for index, (_, fits) in enumerate(_KINDS) if fits(row, today))
        sets[kind, ", ".join(f"{name} {version}" for name, version in row.versions.items())] += 1
    counted = sorted(sets.items(), key=lambda item: (item[0][0], -item[1], item[0][1]))
    lines = (
        f"- {_models(count)} {_KINDS[kind][0]}, in {versions}"
        for (kind, versions), count in counted
    )
    yield "\n".join(lines)


def _families(rows: Sequence[Row]) -> Iterator[str]:
    families: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        families[row.family].append(row)
    head = ("family", "models", *(title for title, _ in _COLUMNS), "parameters, M", "sample")
    lines = []
    for family, members in sorted(families.items()):
        counts = [sum(map(counted, members)) or "" for _, counted in _COLUMNS]
        sizes = [row.parameters / 1e6 for row in members]
        inputs = sorted({row.input for row in members}, key=_volume)
        shown = _product(inputs[0]) + (f" to {_product(inputs[-1])}" if len(inputs) > 1 else "")
        lines.append((family, len(members), *counts, f"{_range(min(sizes), max(sizes))}", shown))
    yield _table(head, lines)


def _failures(rows: Iterable[Row]) -> Iterator[str]:
    bad = [row for row in rows if not row.is_good]
    if not bad:
        yield "None."
        return
    lines = []
    for row in bad:
        if row.fault:
            lines.append((row.model, "", row.fault))
        lines += [(row.model, f"`{check}`", what[0]) for check, what in row.failed.items()]
    yield _table(("model", "check", "what"), lines)


def _exceptions(rows: Iterable[Row]) -> Iterator[str]:
    models: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows:
        for check, cause in row.expected.items():
            models[check, cause].append(row.model)
    if not models:
        yield "None."
    for (check, cause), names in sorted(models.items()):
        yield f"**`{check}`**: {cause}. {_models(len(names))}: {', '.join(names)}"


def _on_meta(rows: Iterable[Row]) -> Iterator[str]:
    """Tells by cause, without its figures, which models were not asked everything."""
    models: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.mode == "meta":
            models[row.limit].append(row)
    if not models:
        yield "None."
    for cause, members in sorted(models.items()):
        names = ", ".join(f"{row.model} ({_range(row.parameters / 1e6)} M)" for row in members)
        title = f"{_models(len(members))}: {cause}"
        yield f"<details><summary>{title}</summary>\n\n{names}\n\n</details>"


def _skipped(rows: Iterable[Row]) -> Iterator[str]:
    """Tells by check and cause, without its details, who was not asked; by name if they are few."""
    models: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows:
        for check, cause in row.skipped.items():
            models[check, cause.partition(":")[0]].append(row.model)
    if not models:
        yield "None."
        return
    lines = []
    for (check, cause), names in sorted(models.items()):
        shown = ", ".join(names) if len(names) <= FEW else ""
        lines.append((f"`{check}`", cause, len(names), shown))
    yield _table(("check", "cause", "models", "which"), lines)


def _table(head: Sequence[object], lines: Iterable[Sequence[object]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(map(_cell, row)) + " |" for row in rows)


def _cell(value: object) -> str:
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return " ".join(text.split()).replace("|", "\\|")


def _models(count: int) -> str:
    return f"{count:,} model{'s' if count != 1 else ''}"


def _range(*ends: float) -> str:
    shown = list(dict.fromkeys(f"{end:,.0f}" if end >= 10 else f"{end:.1f}" for end in ends))
    return " to ".join(shown)


def _product(shape: str) -> str:
    return shape.replace(" ", " x ") or "?"


def _volume(shape: str) -> tuple[int, str]:
    volume = 1
    for side in shape.replace(",", " ").split():
        volume *= int(side)
    return volume, shape
