"""What ``python -m fusionkit.testing sweep`` does, without its command line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fusionkit.catalog import Catalog
from fusionkit.errors import ConfigError
from fusionkit.testing.sweep.asked import LATER, STRUCTURE, choose_checks, digest
from fusionkit.testing.sweep.family import family_of
from fusionkit.testing.sweep.ledger import Ledger
from fusionkit.testing.sweep.plan import draw, in_order, matching, smallest_of_each_family
from fusionkit.testing.sweep.row import Row
from fusionkit.testing.sweep.run import Limits, Told, run
from fusionkit.testing.sweep.versions import versions_of

__all__ = ["Choice", "ask_models"]

SLOWEST = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which models are asked what.

    Attributes:
        provider: whose models.
        glob: only those whose name matches.
        number: only so many of them, drawn at random.
        seed: of the draw.
        one_of_each_family: only the smallest of each family.
        again: those too that have passed before, in these versions.
        checks: only these checks, instead of all that are not slow.
        also: slow checks beyond these; ``"slow"`` for all.
        on_meta: only what can be asked without data.
        rest_on_meta: what is left is asked of its structure only, without data, and everything
            by the next sweep.
    """

    provider: str
    glob: str | None = None
    number: int | None = None
    seed: int = 0
    one_of_each_family: bool = False
    again: bool = False
    checks: tuple[str, ...] | None = None
    also: tuple[str, ...] = ()
    on_meta: bool = False
    rest_on_meta: bool = False

    @property
    def partial(self) -> bool:
        """Whether less than all is asked, so that it says too little for the table."""
        return self.checks is not None or self.on_meta


def ask_models(
    choice: Choice,
    results: Path,
    *,
    jobs: int,
    memory_gib: float,
    minutes: float,
    say: Callable[[str], object],
    catalog: Catalog | None = None,
) -> bool:
    """Asks the models of a choice, and tells whether all that were asked are good.

    Args:
        choice: which models, and what of them.
        results: the folder of the provider's ledger.
        jobs: how many processes at a time.
        memory_gib: what one may hold.
        minutes: what one may take.
        say: is called with each line for the reader.
        catalog: where the models are found; by default what is installed.

    Raises:
        ConfigError: there is no such provider, check, or model.
    """
    catalog = catalog or Catalog.installed()
    listed = catalog.backbones(choice.provider)
    wanted_checks = STRUCTURE if choice.rest_on_meta else choice.checks
    limits = Limits(memory_gib, minutes)
    checks, slow = choose_checks(wanted_checks, choice.also)
    asking = Row(
        model="",
        family="",
        versions=versions_of(choice.provider, catalog),
        checks=digest(checks),
        also=slow,
        partial=choice.partial,
    )
    suffix = ".partial.jsonl" if choice.partial else ".jsonl"
    with Ledger(results / f"{choice.provider}{suffix}").open() as ledger:
        rows = ledger.read()
        known = {**Ledger(results / f"{choice.provider}.partial.jsonl").read(), **rows}
        families = {name: family_of(name) for name in _choose_models(choice, listed, known)}
        again = choice.again or choice.number is not None
        wanted = [
            replace(asking, model=name, family=families[name]) for name in in_order(families, known)
        ]
        wanted.sort(key=lambda row: _was_asked(rows.get(row.model)))
        left = [
            row
            for row in wanted
            if again or not _is_done(row, rows, limits, anyhow=choice.rest_on_meta)
        ]
        say(f"{len(wanted)} models, {len(wanted) - len(left)} of them done before")
        tally = _Tally(len(left), say, ledger)
        if left:
            catalog.backbone(left[0].model)  # imports what it needs, once for all processes
            too_much = "only this was asked for" if choice.on_meta else ""
            too_much = LATER if choice.rest_on_meta else too_much
            run(
                left,
                (*checks, *slow),
                catalog,
                limits=limits,
                jobs=jobs,
                told=tally.take,
                too_much=too_much,
                shrink=not choice.rest_on_meta,
            )
        ledger.tidy(listed)
        tally.conclude()
    return not tally.bad


class _Tally:
    """Writes each result down, and says it."""

    def __init__(self, count: int, say: Callable[[str], object], ledger: Ledger) -> None:
        self.count = count
        self.say = say
        self.ledger = ledger
        self.done = 0
        self.bad: list[str] = []
        self.seconds: Counter[str] = Counter()

    def take(self, told: Told) -> None:
        row = told.row
        self.ledger.append(row)
        self.done += 1
        self.seconds.update(told.seconds)
        state = "passed" if row.is_good else "FAILED"
        shown = f", on meta: {row.why}" if row.mode == "meta" else ""
        self.say(
            f"[{self.done:>4}/{self.count}] {state} {row.model}: {row.passed} checks, "
            f"{row.seconds:g} s, {row.peak_mib} MiB, {row.input}{shown}"
        )
        if row.is_good:
            return
        self.bad.append(row.model)
        for line in (row.fault, *(f"{k}: {w}" for k, what in row.failed.items() for w in what)):
            if line:
                self.say(f"        {line}")

    def conclude(self) -> None:
        if self.seconds:
            total = sum(self.seconds.values())
            self.say(f"{total:,.0f} s in checks, of these:")
            for check, seconds in self.seconds.most_common(SLOWEST):
                self.say(f"  {seconds:8.1f} s {seconds / total:5.0%}  {check}")
        self.say(f"{self.done - len(self.bad)} passed, {len(self.bad)} failed")
        for model in self.bad:
            self.say(f"  {model}")


def _choose_models(choice: Choice, listed: list[str], known: Mapping[str, Row]) -> list[str]:
    models = matching(listed, choice.glob)
    if not models:
        raise ConfigError(
            f"{choice.provider} lists no models"
            if choice.glob is None
            else f"no model of {choice.provider} matches {choice.glob!r}"
        )
    if choice.one_of_each_family:
        models = smallest_of_each_family({name: family_of(name) for name in models}, known)
    if choice.number is not None:
        models = draw(models, choice.number, choice.seed)
    return models


def _was_asked(row: Row | None) -> bool:
    """Tells whether a model was ever asked everything; those that were not are asked first."""
    return row is not None and row.why != LATER


def _is_done(wanted: Row, rows: Mapping[str, Row], limits: Limits, *, anyhow: bool) -> bool:
    """Tells whether a model has passed what is asked; one that failed is asked again.

    So is one that had too little memory or time, where there is more now.

    Args:
        wanted: what is to be asked.
        rows: what is known.
        limits: what it may use.
        anyhow: whether it is enough that it passed less in these versions, or that it was ever
            asked everything, whatever came of it: to ask it less now would lose that.
    """
    row = rows.get(wanted.model)
    if anyhow and _was_asked(row):
        return True
    if row is None or not row.is_good:
        return False
    if anyhow:
        return row.versions == wanted.versions
    return row.answers(wanted) and not row.was_short(limits.memory_gib, limits.minutes)
