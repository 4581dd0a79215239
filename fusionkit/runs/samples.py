"""The samples of a job, and the recipe that they complete."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fusionkit.data import Samples, ShardedSamples, find_splits, open_samples, split_samples
from fusionkit.errors import ConfigError, DataError, did_you_mean, some_of
from fusionkit.recipe.values import Recipe
from fusionkit.runs.settings import DataSettings, Job
from fusionkit.runs.streams import is_sharded, open_shards, shard_splits

__all__ = [
    "JobSamples",
    "complete_recipe",
    "describe_samples",
    "input_names",
    "open_job_samples",
    "open_split",
    "splits_of",
]


@dataclass(frozen=True, slots=True)
class JobSamples:
    """What a run learns from and is validated on.

    Attributes:
        train: samples to learn from.
        val: samples held out.
        held_out: whether the latter were taken from the training split, which had no other.
        splits: the names of all splits that the source has; none where it is not divided.
    """

    train: Samples | ShardedSamples
    val: Samples | ShardedSamples
    held_out: bool
    splits: tuple[str, ...] = ()


def open_job_samples(job: Job) -> JobSamples:
    """Opens the samples that a job names; nothing is decoded yet.

    Raises:
        ConfigError: the job names none.
        DataError: they cannot be read, or there is only one class.
    """
    there = splits_of(job)
    train = open_split(job.data, job.recipe, job.data.train if there else None)
    if len(train.classes) < 2:
        where = f"the split {job.data.train!r} of {job.data.source}" if there else job.data.source
        raise DataError(
            f"{where} has {len(train.classes)} class ({', '.join(train.classes)}); there must be "
            "two to tell apart, a folder or label each"
        )
    if job.data.val in there:
        val = open_split(job.data, job.recipe, job.data.val, train.classes)
        return JobSamples(train, val, False, there)
    if isinstance(train, ShardedSamples):
        raise DataError(
            f"{job.data.source} has no shards of a split {job.data.val!r} to validate on; it has "
            f"{', '.join(there) or 'none'}. Shards cannot be divided: put some into "
            f"{job.data.source}/{job.data.val}"
        )
    return JobSamples(*split_samples(train, job.data.val_share, job.training.seed), True, there)


def describe_samples(samples: JobSamples, job: Job) -> tuple[str, ...]:
    """Gives what of a job's samples nobody has asked for, in words: held out, left aside."""
    said = []
    if samples.held_out and isinstance(samples.val, Samples):
        said.append(
            f"there is no split {job.data.val!r}: {len(samples.val)} of "
            f"{len(samples.train) + len(samples.val)} samples to learn from are held out"  # type: ignore[arg-type]
        )
    both = (each for each in (samples.train, samples.val) if isinstance(each, Samples))
    ignored = {name for each in both for name in each.ignored}
    if ignored:
        files = "file is no image and is" if len(ignored) == 1 else "files are no images and are"
        said.append(f"{len(ignored)} {files} passed over: {', '.join(sorted(ignored)[:3])}")
    others = sorted(set(samples.splits) - {job.data.train, job.data.val, "test"})
    if others:
        near = did_you_mean(others[0], (job.data.train, job.data.val, "test"))
        said.append(f"nothing is done with the split {', '.join(map(repr, others))}.{near}")
    return tuple(said)


def splits_of(job: Job) -> tuple[str, ...]:
    """Gives the names of the splits that the job's source has; none where it is not divided."""
    if job.data.source is None:
        return ()
    if is_sharded(job.data.source):
        return shard_splits(job.data.source)
    return find_splits(job.data.source, input_names(job.recipe))


def input_names(recipe: Recipe) -> tuple[str, ...]:
    """Gives the inputs that the branches read, in alphabetical order."""
    return tuple(sorted({branch.input for branch in recipe.branches.values()}))


def open_split(
    data: DataSettings, recipe: Recipe, split: str | None, classes: tuple[str, ...] | None = None
) -> Samples | ShardedSamples:
    """Opens one split of what a job names; ``None`` for a source without splits."""
    if data.source is None:
        raise ConfigError("there are no data: name them with --data, or as data.source")
    if is_sharded(data.source):
        return open_shards(data, input_names(recipe), split, classes)
    return open_samples(
        data.source,
        split,
        inputs=input_names(recipe),
        classes=classes,
        label=data.label,
        texts=data.texts,
    )


def complete_recipe(recipe: Recipe, classes: tuple[str, ...]) -> Recipe:
    """Gives the recipe with the classes that the samples have.

    Raises:
        ConfigError: the recipe names others.
    """
    if recipe.num_classes not in (None, len(classes)):
        raise ConfigError(
            f"num_classes is {recipe.num_classes}, but the data have {len(classes)} classes "
            f"({some_of(classes, 5)}); leave it out, or give other data"
        )
    if recipe.classes and recipe.classes != classes:
        raise ConfigError(
            f"the recipe's classes are {some_of(recipe.classes, 5)}, but the data's are "
            f"{some_of(classes, 5)}; a label would mean something else"
        )
    return replace(recipe, num_classes=len(classes), classes=classes)
