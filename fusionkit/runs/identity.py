"""What a run must find again to go on: its job, and the samples behind it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from fusionkit.data import Samples, ShardedSamples
from fusionkit.errors import ResumeError
from fusionkit.runs.job_file import job_to_data
from fusionkit.runs.run_folder import RunFolder
from fusionkit.runs.samples import JobSamples
from fusionkit.runs.settings import Job
from fusionkit.training.resume.changes import compare_settings

__all__ = ["identify", "refuse_changed"]

FREE = ("data.workers", "data.source", "training.save_every", "training.accelerator")
"""What changes nothing of what is learned; the samples themselves are compared."""


def identify(job: Job, samples: JobSamples) -> dict[str, Any]:
    """Gives what makes the run what it is, as JSON-able data."""
    found = {
        **job_to_data(job),
        "samples": {"train": _fingerprint(samples.train), "val": _fingerprint(samples.val)},
    }
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


def refuse_changed(run: RunFolder, known: dict[str, Any]) -> None:
    """Refuses to go on with a run that was begun with another job or other samples.

    Raises:
        ResumeError: there is no run, or lists what has changed.
    """
    before = run.read_identity()
    if before is None:
        if run.recipe.exists():
            raise ResumeError(f"{run.path} does not say what its run was; choose another folder")
        return
    there = {".".join(path) for path in _paths({**before, **known})}
    compare_settings(before, known, [name for name in FREE if name in there])


def _paths(data: Any, at: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(data, dict):
        return [at]
    return [path for key, value in data.items() for path in _paths(value, (*at, key))]


def _fingerprint(samples: Samples | ShardedSamples) -> dict[str, Any]:
    """Gives a checksum over ids and labels, or over the names of shards."""
    digest = hashlib.sha256()
    if isinstance(samples, ShardedSamples):
        names = [Path(shard).name for shard in samples.shards]
        digest.update("\n".join(names).encode())
        return {"count": len(names), "sha256": digest.hexdigest()}
    for sample_id, label in zip(samples.ids, samples.labels, strict=True):
        digest.update(f"{sample_id}\0{label}\n".encode())
    return {"count": len(samples), "sha256": digest.hexdigest()}
