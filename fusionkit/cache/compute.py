"""Reads samples and runs frozen branches on them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from fusionkit.data.batch import Batch, Unreadable, collate_some, map_tensors, once
from fusionkit.data.loader import TIMEOUT, SampleLoader
from fusionkit.data.normalise import Normalise
from fusionkit.data.prepared import PreparedDataset
from fusionkit.features import Features
from fusionkit.model.fused import FusedModel

__all__ = ["Compute", "describe_preparation", "device_of"]

ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


@dataclass(frozen=True, slots=True)
class Compute:
    """How frozen branches are run on samples.

    Attributes:
        model: whose branches they are.
        dataset: prepares the samples.
        workers: processes that decode; 0 decodes in this one.
        timeout: seconds that a batch may take in a worker; ``None`` for the loader's default.
        context: how workers are started.
        autocast: the type that operations are cast to; ``None`` for none.
        channels_last: whether images are laid out with their channels last.
        normalise: takes mean and std of images on the device, and lays them out.
    """

    model: FusedModel
    dataset: PreparedDataset
    workers: int = 0
    timeout: float | None = None
    context: str | None = None
    autocast: torch.dtype | None = None
    channels_last: bool = False
    normalise: Normalise = field(init=False)

    def __post_init__(self) -> None:
        normalise = Normalise(self.dataset.prepare.preparations, channels_last=self.channels_last)
        object.__setattr__(self, "normalise", normalise)

    def read(
        self,
        branches: Collection[str],
        positions: Sequence[int],
        batch_size: int,
        *,
        here: bool = False,
    ) -> Iterator[Batch | Unreadable]:
        """Gives batches of samples as some branches take them, in the order of ``positions``.

        Of a batch of which no sample can be read, it gives what is known of them.

        Args:
            branches: what others read is not decoded.
            positions: among the samples.
            batch_size: the most samples of a batch.
            here: whether this process decodes.
        """
        starts = range(0, len(positions), batch_size)
        several: dict[str, Any] = {}
        if workers := 0 if here or len(starts) < 2 else self.workers:
            several = {
                "timeout": TIMEOUT if self.timeout is None else self.timeout,
                "multiprocessing_context": self.context,
            }
        loader: Any = SampleLoader(
            self.dataset.only(branches),
            batch_sampler=[list(positions[start : start + batch_size]) for start in starts],
            collate_fn=collate_some,
            num_workers=workers,
            generator=torch.Generator(),  # or it would draw from the run's own
            **several,
        )
        yield from loader.read()

    def run(self, branches: Collection[str], inputs: dict[str, Any]) -> dict[str, Features]:
        """Gives the features of some branches without gradients.

        Args:
            branches: each frozen whole.
            inputs: of a ``Batch``.
        """
        device = device_of(self.model)
        with (
            torch.no_grad(),
            torch.autocast(device.type, self.autocast, enabled=self.autocast is not None),
        ):
            return self.model.features(self.ready(inputs, device), branches)

    def ready(self, inputs: dict[str, Any], device: torch.device) -> dict[str, Any]:
        """Gives inputs as the model takes them: on its device, normalised, laid out."""
        move = once(lambda tensor: tensor.to(device, non_blocking=True))
        return self.normalise(map_tensors(inputs, move))


def device_of(model: FusedModel) -> torch.device:
    """Gives where a model lies."""
    first = next(iter([*model.parameters(), *model.buffers()]), None)
    return torch.device("cpu") if first is None else first.device


def describe_preparation(dataset: PreparedDataset, branch: str) -> str:
    """Gives how a sample becomes a branch's input, in words that change with it."""
    preparation = dataset.prepare.preparations[branch]
    encoder = dataset.prepare.encoders.get(preparation.input) or preparation.encode
    if preparation.preprocessing is not None or encoder is None:
        return repr(preparation)
    return f"{preparation!r} {ADDRESS.sub('', repr(encoder))}"
