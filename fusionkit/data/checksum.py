"""Checksums of samples: what tells a damaged file that still decodes from the one it was."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from fusionkit.data.sample import Sample, Samples, raw_bytes
from fusionkit.errors import DataError, some_of

__all__ = ["check_checksums", "checksums"]


def checksums(samples: Samples) -> dict[str, str]:
    """Gives the SHA-256 of each sample's inputs by id, for a JSON file beside the data.

    Most JPEG files with a few wrong bytes decode without an error, to other pixels.

    Raises:
        DataError: a file cannot be read.
    """
    return {sample.id: _checksum(sample) for sample in samples}


def check_checksums(samples: Samples, expected: Mapping[str, str]) -> None:
    """Refuses samples that are not what they were; it reads all of them once.

    Raises:
        DataError: names those that have changed, or are new.
    """
    changed = [
        sample.id for sample in samples if _checksum(sample) != expected.get(sample.id, "none")
    ]
    if changed:
        raise DataError(
            f"{len(changed)} of {len(samples)} samples are not what their checksums say: "
            f"{some_of(changed)}; restore them from a "
            "copy, or make new checksums if they were changed on purpose"
        )


def _checksum(sample: Sample) -> str:
    digest = hashlib.sha256()
    for name in sorted(sample.inputs):
        source = sample.inputs[name]
        try:
            raw = source.read_bytes() if isinstance(source, Path) else raw_bytes(source)
        except OSError as error:
            raise DataError(f"cannot read {source}: {error.strerror or error}") from error
        digest.update(f"{name}\0{len(raw)}\0".encode())
        digest.update(raw)
    return digest.hexdigest()
