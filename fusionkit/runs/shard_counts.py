"""How many samples tar files hold, from the names in them alone."""

from __future__ import annotations

import os
import tarfile
from functools import cache

from fusionkit.data import ShardedSamples
from fusionkit.errors import DataError

__all__ = ["count_batches_of", "count_samples", "count_shard"]


def count_samples(samples: ShardedSamples) -> int:
    """Gives how many samples there are.

    Raises:
        DataError: a shard cannot be read, or lies elsewhere, so that only ``data.length`` tells.
    """
    return sum(map(count_shard, samples.shards))


def count_shard(shard: str) -> int:
    """Gives how many samples a tar file holds: as webdataset, files of one key in a row are one.

    Raises:
        DataError: it cannot be read, or lies elsewhere.
    """
    if "://" in shard:
        raise DataError(
            f"how many samples {shard} holds is known only after reading it: say how many an "
            "epoch of training has, as data.length; shards to validate on lie on a disk"
        )
    try:
        about = os.stat(shard)
        return _count(os.path.abspath(shard), about.st_size, about.st_mtime_ns)
    except (OSError, tarfile.TarError) as error:
        raise DataError(f"cannot read the shard {shard}: {error}") from error


@cache
def _count(shard: str, size: int, changed: int) -> int:
    """Counts once in a process, as long as the file stays as it is: each sample is a seek."""
    count, last = 0, None
    with tarfile.open(shard) as tar:
        for member in tar:
            key = _key(member.name) if member.isreg() else None
            count += key is not None and key != last
            last = key or last
    return count


def count_batches_of(
    samples: ShardedSamples, size: int, *, epoch: int, rank: int, world: int, workers: int
) -> int:
    """Gives how many batches a process makes of all samples of its workers' shards.

    Args:
        samples: the shards.
        size: of a batch; each worker's last may be smaller.
        epoch: which has its own order of shards where they are shuffled.
        rank: of the process.
        world: the number of processes.
        workers: of each process, at least 1.
    """
    parts = world * workers
    shares = (samples.shards_of(epoch, rank * workers + worker, parts) for worker in range(workers))
    return sum(-(-sum(map(count_shard, share)) // size) for share in shares)


def _key(name: str) -> str | None:
    """Gives what the files of one sample share; ``None`` for a file that is of none.

    It is the path up to the first dot of the file's name.
    """
    folder, _, file = name.rpartition("/")
    if not folder and file.startswith("__") and file.endswith("__"):
        return None
    stem, dot, _ = file.partition(".")
    return f"{folder}/{stem}" if stem and dot else None
