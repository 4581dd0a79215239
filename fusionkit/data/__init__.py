"""What a model is trained on: samples on disk, decoded once and prepared for each branch.

Each name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusionkit.data.augment import Augment as Augment
    from fusionkit.data.batch import Batch as Batch
    from fusionkit.data.batch import Prepared as Prepared
    from fusionkit.data.batch import collate as collate
    from fusionkit.data.checksum import check_checksums as check_checksums
    from fusionkit.data.checksum import checksums as checksums
    from fusionkit.data.decoding import decode as decode
    from fusionkit.data.loader import SampleLoader as SampleLoader
    from fusionkit.data.loader import build_loader as build_loader
    from fusionkit.data.normalise import Normalise as Normalise
    from fusionkit.data.opening import open_predict as open_predict
    from fusionkit.data.opening import open_samples as open_samples
    from fusionkit.data.preparation import Preparation as Preparation
    from fusionkit.data.preparation import preparations_of as preparations_of
    from fusionkit.data.prepared import PreparedDataset as PreparedDataset
    from fusionkit.data.sample import Encoded as Encoded
    from fusionkit.data.sample import Sample as Sample
    from fusionkit.data.sample import Samples as Samples
    from fusionkit.data.sampler import EpochSampler as EpochSampler
    from fusionkit.data.sampler import Repeat as Repeat
    from fusionkit.data.shards import ShardedSamples as ShardedSamples
    from fusionkit.data.split import split_samples as split_samples
    from fusionkit.data.splits import find_splits as find_splits
    from fusionkit.data.stream import PreparedStream as PreparedStream

_HOMES = {
    "Augment": "augment",
    "Batch": "batch",
    "Encoded": "sample",
    "EpochSampler": "sampler",
    "Normalise": "normalise",
    "Preparation": "preparation",
    "Prepared": "batch",
    "PreparedDataset": "prepared",
    "PreparedStream": "stream",
    "Repeat": "sampler",
    "Sample": "sample",
    "SampleLoader": "loader",
    "Samples": "sample",
    "ShardedSamples": "shards",
    "build_loader": "loader",
    "check_checksums": "checksum",
    "checksums": "checksum",
    "collate": "batch",
    "decode": "decoding",
    "find_splits": "splits",
    "open_predict": "opening",
    "open_samples": "opening",
    "preparations_of": "preparation",
    "split_samples": "split",
}

__all__: list[str] = []
__all__.extend(sorted(_HOMES))


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fusionkit.data' has no attribute {name!r}")
    value = getattr(import_module(f"fusionkit.data.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
