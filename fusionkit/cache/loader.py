"""``FeatureLoader``: batches of cached features, and of images for the branches that learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from typing import Any, final

import torch
from torch import Tensor

from fusionkit.cache.batch import FeatureBatch, joined, unreadable, without
from fusionkit.cache.cacheable import cacheable_branches, check_worth
from fusionkit.cache.compute import Compute, device_of
from fusionkit.cache.split import CachedSplit
from fusionkit.cache.store import FeatureCache, open_cache
from fusionkit.data.batch import Batch, Unreadable, none_left
from fusionkit.data.loader import SampleLoader, build_loader
from fusionkit.data.prepared import PreparedDataset
from fusionkit.data.sampler import EpochSampler, Repeat
from fusionkit.errors import CacheError, ConfigError
from fusionkit.features import Features
from fusionkit.model.fused import FusedModel
from fusionkit.numbers import is_count

__all__ = ["FeatureLoader"]


@final
class FeatureLoader:
    """Gives the batches of an epoch, each branch that is frozen whole from the cache.

    Before the first batch, what is missing in the cache is computed in one pass over the samples
    that lack it. Where all branches are cached, no image is opened and no worker started. A branch
    that thaws leaves the cache at that epoch, and its images are loaded from then on::

        loader = FeatureLoader(model, dataset, sampler, cache=True)
        for epoch in range(20):
            model.train().set_epoch(epoch)
            loader.set_epoch(epoch)
            for batch in loader:
                loss = cross_entropy(model(batch.inputs, batch.features), batch.labels)

    Batches come in the sampler's order, on the model's device, and normalised. A batch of which no
    sample can be read is passed over.

    Args:
        model: whose branches are frozen or not; not a wrapper of it.
        dataset: prepares the samples for the model.
        sampler: which samples make which batch.
        cache: ``True`` for the user's cache, a folder, a ``FeatureCache``; ``False`` or ``None``
            for none.
        views: how many augmented views of each sample are kept: epoch e shows view e % views. Only
            where the dataset augments at random; without it such a dataset is refused.
        workers: processes that decode.
        timeout: seconds that a batch may take in a worker; ``None`` for the loader's default.
        prefetch: batches that each worker is ahead.
        context: how workers are started.
        pin_memory: whether images are put where a CUDA device copies from at its full rate.
        autocast: the type that operations of the cached branches are cast to, for example
            ``torch.bfloat16`` where training runs under ``torch.autocast``.
        channels_last: whether images are laid out with their channels last.
        on_fill: is told how many samples of how many are computed.

    Raises:
        CacheError: nothing could be cached at any epoch, with the cause.
        ConfigError: an argument is of another kind.
    """

    def __init__(
        self,
        model: FusedModel,
        dataset: PreparedDataset,
        sampler: EpochSampler,
        *,
        cache: bool | str | PathLike[str] | FeatureCache | None = True,
        views: int = 0,
        workers: int = 0,
        timeout: float | None = None,
        prefetch: int = 2,
        context: str | None = None,
        pin_memory: bool = False,
        autocast: torch.dtype | None = None,
        channels_last: bool = False,
        on_fill: Callable[[int, int], None] | None = None,
    ) -> None:
        _check_kinds(model, dataset, sampler, views)
        self.model, self.dataset, self.sampler = model, dataset, sampler
        self.cache = open_cache(cache)
        augment = dataset.prepare.augment
        if self.cache is not None:
            check_worth(model, augment, views)
        if views and augment is None:
            raise ConfigError(
                f"views={views} keeps augmented views of each sample, but the dataset augments "
                "nothing; leave views out"
            )
        self.views = views
        self._workers: dict[str, Any] = {"workers": workers, "timeout": timeout, "context": context}
        self._ahead: dict[str, Any] = {"prefetch": prefetch, "pin_memory": pin_memory}
        self._compute = Compute(
            model, dataset, **self._workers, autocast=autocast, channels_last=channels_last
        )
        self._split = (
            None if self.cache is None else CachedSplit(self._compute, self.cache, sampler, on_fill)
        )
        self._loaders: dict[tuple[str, ...], SampleLoader] = {}
        labels = dataset.samples.labels
        known = [label for label in labels if label is not None]
        self._labels = torch.tensor(known) if len(known) == len(labels) else None
        self._epoch: int | None = None

    def __len__(self) -> int:
        """Gives the number of batches of a whole epoch."""
        return len(self.sampler)

    @property
    def epoch(self) -> int:
        """The epoch that was set, else the model's."""
        return self.model.epoch if self._epoch is None else self._epoch

    @property
    def cached(self) -> tuple[str, ...]:
        """The branches that come from the cache as the model is now."""
        if self._split is None:
            return ()
        frozen = cacheable_branches(self.model)
        return tuple(name for name in frozen if name not in self._split.refused)

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Sets the epoch of order and augmentation; the model has its own ``set_epoch``.

        Args:
            epoch: counted from 0.
            start: the first batch that is given.
        """
        self.sampler.set_epoch(epoch, start)
        self._epoch = epoch

    def __iter__(self) -> Iterator[FeatureBatch]:
        """Gives the batches of the epoch that have samples.

        Raises:
            CacheError: a branch thawed while its cached features were being given.
            DataError: a sample cannot be read; in one of several processes, none of a batch.
        """
        return (batch for batch in self.read() if len(batch))

    def read(self) -> Iterator[FeatureBatch]:
        """Gives every batch of the epoch, for those who count them.

        One of which no sample can be read comes without samples, and ``broken`` says why.
        """
        cached = self.cached
        view = self.epoch % self.views if self.views and cached else None
        self.dataset.set_epoch(self.epoch if view is None else view)
        if self._split is not None:
            self._split.open(cached, view)
            cached = self.cached  # without those for which there was no room
        live = tuple(name for name in self.model.parts if name not in cached)
        still = {name: tuple(self.model.branches[name].parameters()) for name in cached}
        for batch in self._live(live, cached) if live else self._stored(cached):
            for name, parameters in still.items():
                if any(each.requires_grad for each in parameters):
                    raise CacheError(
                        f"branch {name!r} thawed while its cached features were being given, so it "
                        "would not learn; call model.set_epoch before the loader is iterated"
                    )
            yield batch

    def close(self) -> None:
        """Lets go of the cache's folders and of the workers."""
        if self._split is not None:
            self._split.close()
        self._loaders.clear()

    def _live(self, live: tuple[str, ...], cached: Sequence[str]) -> Iterator[FeatureBatch]:
        """Gives batches with images for some branches."""
        if live not in self._loaders:
            self._loaders.clear()  # with workers that prepare for branches that no longer are live
            self._loaders[live] = build_loader(
                self.dataset.only(live), self.sampler, **self._workers, **self._ahead
            )
        for batch in self._loaders[live].read():
            yield self._joined(batch, cached) if isinstance(batch, Batch) else unreadable(batch)

    def _joined(self, batch: Batch, cached: Sequence[str]) -> FeatureBatch:
        device = device_of(self.model)
        if self._split is not None and self._split.broken.keys() & set(batch.ids):
            lost = self._split.broken  # of an input that only cached branches read
            if lost.keys() >= set(batch.ids):
                return self._lost((*batch.broken, *((name, lost[name]) for name in batch.ids)))
            batch = without(batch, lost)
        inputs = self._compute.ready(batch.inputs, device)
        made = joined(batch, inputs, self._features(cached, batch.indices))
        return made.to(device, non_blocking=True)

    def _stored(self, cached: Sequence[str]) -> Iterator[FeatureBatch]:
        """Gives batches without opening an image."""
        assert self._split is not None
        device = device_of(self.model)
        ids = self.dataset.samples.ids
        for indices in self.sampler:
            good = [index for index in indices if ids[index] not in self._split.broken]
            broken = tuple(
                (ids[index], self._split.broken[ids[index]])
                for index in indices
                if ids[index] in self._split.broken
            )
            if not good:
                yield self._lost(broken)
                continue
            chosen = torch.tensor([int(index) for index in good])
            made = FeatureBatch(
                inputs={},
                features=self._features(cached, chosen),
                labels=None if self._labels is None else self._labels[chosen],
                ids=tuple(ids[index] for index in good),
                indices=chosen,
                counted=torch.tensor([not isinstance(index, Repeat) for index in good]),
                broken=broken,
            )
            yield made.to(device, non_blocking=True)

    def _lost(self, broken: Unreadable) -> FeatureBatch:
        """Gives a batch without samples, where others need not have as many with some."""
        if self.sampler.world > 1:
            raise none_left(broken, ", and processes need equally many batches")
        return unreadable(broken)

    def _features(self, cached: Sequence[str], indices: Tensor) -> dict[str, Features]:
        assert self._split is not None or not cached
        return {name: self._split.take(name, indices) for name in cached}  # type: ignore[union-attr]


def _check_kinds(model: object, dataset: object, sampler: object, views: object) -> None:
    if not isinstance(model, FusedModel):
        raise ConfigError(
            f"FeatureLoader takes the FusedModel itself, got {type(model).__name__}; of a wrapper "
            "give what it wraps"
        )
    if not isinstance(dataset, PreparedDataset):
        raise ConfigError(
            f"FeatureLoader takes a PreparedDataset, got {type(dataset).__name__}; the cache needs "
            "samples by their ids"
        )
    if not isinstance(sampler, EpochSampler):
        raise ConfigError(f"FeatureLoader takes an EpochSampler, got {type(sampler).__name__}")
    if not is_count(views, least=0):
        raise ConfigError(f"views is a number of augmented views, got {views!r:.80}")
