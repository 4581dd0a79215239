"""What a run must find again to go on: its job, and the samples behind it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from fusionkit.data import Samples, ShardedSamples
from fusionkit.data.sample import ListedSamples
from fusionkit.data.split import ChosenSamples
from fusionkit.errors import ResumeError
from fusionkit.runs.job_file import job_to_data
from fusionkit.runs.run_folder import RunFolder
from fusionkit.runs.samples import JobSamples
from fusionkit.runs.settings import Job
from fusionkit.training.resume.changes import compare_settings, flatten, versions

__all__ = ["identify", "refuse_changed"]

FREE = ("data.workers", "data.source", "training.save_every", "training.accelerator")
"""What changes nothing of what is learned; the samples themselves are compared."""


def identify(job: Job, samples: JobSamples) -> dict[str, Any]:
    """Gives what makes the run what it is, as JSON-able data."""
    found = {
        **job_to_data(job),
        "samples": {
            "train": _fingerprint(samples.train, job),
            "val": _fingerprint(samples.val, job),
        },
        "versions": versions(),
    }
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


def refuse_changed(
    run: RunFolder, known: dict[str, Any], allow: Collection[str] = ()
) -> tuple[str, ...]:
    """Refuses to go on with a run that was begun with another job, other samples or versions.

    Args:
        run: that lies there.
        known: what ``identify`` gives now.
        allow: what may have changed, such as ``"training.epochs"`` or ``"versions"``.

    Returns:
        What has changed and may, in words.

    Raises:
        ResumeError: there is no run, or lists what has changed.
        ConfigError: ``allow`` names what is no part of a run.
    """
    before = run.read_identity()
    if before is None:
        if run.recipe.exists():
            raise ResumeError(f"{run.path} does not say what its run was; choose another folder")
        return ()
    there = dict(flatten({**before, **known}))
    free = [name for name in FREE if name in there]
    changed = compare_settings(before, known, [*free, *allow])
    return tuple(each for each in changed if not each.startswith(tuple(f"{n}:" for n in free)))


def _fingerprint(samples: Samples | ShardedSamples, job: Job) -> dict[str, Any]:
    """Gives a checksum over ids, labels and the sizes of files; times of change do not count."""
    digest = hashlib.sha256()
    if isinstance(samples, ShardedSamples):
        for shard in samples.shards:
            digest.update(f"{Path(shard).name}\0{_size(Path(shard))}\n".encode())
        # How many read decides which sample comes when.
        workers = job.data.workers
        count = len(samples.shards)
        return {"count": count, "sha256": digest.hexdigest(), "workers": workers}
    files = isinstance(samples, (ListedSamples, ChosenSamples))
    for index, (sample_id, label) in enumerate(zip(samples.ids, samples.labels, strict=True)):
        inputs = samples[index].inputs.values() if files else ()
        sizes = [_size(each) for each in inputs if isinstance(each, Path)]
        digest.update(f"{sample_id}\0{label}\0{sizes}\n".encode())
    return {"count": len(samples), "sha256": digest.hexdigest()}


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:  # an address, or gone: who reads it will say so
        return None
