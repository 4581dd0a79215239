"""``compare``: the same data and seeds for every way to train, each run in a folder of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fusionkit.catalog import Catalog
from fusionkit.errors import ConfigError, did_you_mean
from fusionkit.policy.freeze import Freeze
from fusionkit.runs.contenders import Contender, contenders
from fusionkit.runs.devices import training_device
from fusionkit.runs.evaluate import evaluate
from fusionkit.runs.fit import Fitted, fit
from fusionkit.runs.measure import Score
from fusionkit.runs.run_folder import RunFolder
from fusionkit.runs.samples import splits_of
from fusionkit.runs.settings import Job

__all__ = ["Compared", "compare"]

TEST = "test"


@dataclass(frozen=True, slots=True)
class Compared:
    """What one contender reached.

    Attributes:
        title: the contender's.
        alone: whether it is one of the recipe's branches by itself.
        seeds: of its runs.
        scores: one for each seed, on the samples named by ``split``.
        split: ``"test"`` where the data have one, else ``"val"``, which also chose each run's best
            epoch.
        parameters: of the model.
        trainable: of these, those that learned in some epoch, the head's among them.
        seconds: of training, one for each seed.
        seen: whether the head was fitted to the samples that it is measured on, so that the scores
            say too much.
    """

    title: str
    alone: bool
    seeds: tuple[int, ...]
    scores: tuple[Score, ...]
    split: str
    parameters: int
    trainable: int
    seconds: tuple[float, ...]
    seen: bool = False

    @property
    def accuracies(self) -> tuple[float, ...]:
        """The accuracy for each seed."""
        return tuple(score.accuracy for score in self.scores)


def compare(
    job: Job,
    folder: str | Path,
    seeds: Sequence[int] = (0, 1, 2),
    *,
    only: Collection[str] = (),
    on_start: Callable[[str, int], object] = lambda title, seed: None,
    after_run: Callable[[str, Fitted], object] = lambda title, fitted: None,
    catalog: Catalog | None = None,
) -> tuple[Compared, ...]:
    """Trains and measures each contender once for each seed.

    A comparison that was stopped goes on: runs that have ended are not trained again.

    Args:
        job: the recipe that is compared, its data and its training.
        folder: for all runs; made if need be.
        seeds: of the head's first values, the order of samples, and what is held out.
        only: titles of contenders; all if empty.
        on_start: called with title and seed before each run.
        after_run: called with title and outcome after it.
        catalog: where names are looked up; by default what is installed.

    Raises:
        ConfigError: there is no contender of that title, or no seed.
    """
    chosen = _choose(contenders(job.recipe, job.training.epochs), only)
    if not seeds or len(set(seeds)) != len(seeds):
        raise ConfigError(f"compare takes one seed or more, each once; got {list(seeds)!r:.80}")
    outcomes = []
    for contender in chosen:
        fits = []
        for seed in seeds:
            on_start(contender.title, seed)
            cache = job.training.cache and _may_cache(contender)
            training = replace(job.training, seed=seed, cache=cache)
            mine = replace(job, recipe=contender.recipe, training=training)
            place = Path(folder) / _slug(contender.title) / f"seed-{seed}"
            fits.append(fit(mine, place, resume=place.exists(), catalog=catalog))
            after_run(contender.title, fits[-1])
        outcomes.append(_measured(contender, job, seeds, fits))
    return tuple(outcomes)


def _measured(
    contender: Contender, job: Job, seeds: Sequence[int], fits: Sequence[Fitted]
) -> Compared:
    assert job.data.source is not None
    split = TEST if TEST in splits_of(job) else job.data.val
    scores = [fitted.score for fitted in fits]
    if split == TEST:
        data, source = job.data, job.data.source
        scores = [
            evaluate(
                fitted.model,
                source,
                TEST,
                workers=data.workers,
                broken=data.broken,
                label=data.label,
                texts=data.texts,
                device=training_device(job.training.accelerator),
            )
            for fitted in fits
        ]
    model = fits[0].model
    return Compared(
        contender.title,
        contender.alone,
        tuple(seeds),
        tuple(scores),
        split,
        sum(value.numel() for value in model.parameters()),
        max(map(_learned, fits)),
        tuple(fitted.seconds for fitted in fits),
        split == job.data.val and fits[0].fitted_on == "val",
    )


def _learned(fitted: Fitted) -> int:
    """Gives how many parameters learned in some epoch, or were fitted at once."""
    from fusionkit.runs.callbacks.figures import read_figures  # which imports Lightning

    figures = RunFolder(fitted.folder).figures
    rows = read_figures(figures) if figures.exists() else []
    head = sum(value.numel() for value in fitted.model.head.parameters())
    return max((int(row["trainable"]) for row in rows), default=head)


def _may_cache(contender: Contender) -> bool:
    """Tells whether a branch is frozen whole at first, so that there are features to keep."""
    return any(_starts_frozen(each.freeze) for each in contender.recipe.branches.values())


def _starts_frozen(freeze: Freeze) -> bool:
    if freeze.rule == "gradual":
        return freeze.start > 0
    return freeze.rule in ("all", "on_plateau") or (freeze.rule == "last" and freeze.count == 0)


def _choose(known: Sequence[Contender], only: Collection[str]) -> list[Contender]:
    titles = [each.title for each in known]
    for title in only:
        if title not in titles:
            raise ConfigError(
                f"there is nothing called {title!r:.80} to compare.{did_you_mean(title, titles)} "
                f"There are {', '.join(titles)}"
            )
    return [each for each in known if not only or each.title in only]


def _slug(title: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "-", title).strip("-")
