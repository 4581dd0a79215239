"""``StateCheckpointIO``: Lightning's checkpoints without a pickle."""

from __future__ import annotations

import shutil
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO
from torch import Tensor

from fusionkit.errors import ConfigError, ResumeError
from fusionkit.saved.manifest import MANIFEST
from fusionkit.training.state.folder import read_state, write_state

__all__ = ["StateCheckpointIO"]


class StateCheckpointIO(CheckpointIO):
    """Writes each checkpoint of a ``Trainer`` as a folder of safetensors and JSON.

    Given as ``Trainer(plugins=[StateCheckpointIO()])``; ``ModelCheckpoint`` and
    ``fit(ckpt_path=...)`` are as ever, but a checkpoint ``last.ckpt`` is a folder. It is put in
    place in one step and checked when it is read, and nothing in it is run. ``save_last="link"``
    of ``ModelCheckpoint`` works as with any.

    What a run needs to go on in the midst of an epoch to the same bits, with Lightning 2.6:

    - A training loader with ``state_dict`` and ``load_state_dict``, which count the batches that
      were handed out, not those that workers have prepared. Without them an epoch that was cut
      off begins again with its first batch, while the count of batches goes on. Lightning makes
      the loader's iterator before it calls ``set_epoch``, and gives it no state back at the end
      of an epoch, so that the loader has to ask for the epoch (``trainer.current_epoch``) when
      its first batch is asked for. It needs a length, or Lightning fetches one batch ahead.
    - No checkpoint of an epoch's last batch: from there Lightning goes on without the epoch's
      validation, and what waits for it (a plateau, the best model, early stopping) misses one.
      ``every_n_train_steps`` that divides the epoch makes such; ``every_n_epochs`` does not.
    - ``seed_step`` in ``training_step`` or ``on_train_batch_start``: Lightning saves the state of
      no generator of random numbers.
    - Saving between steps of the optimizer, as ``ModelCheckpoint(every_n_train_steps=...)`` does:
      gradients that are being accumulated are in no checkpoint. ``global_step`` counts steps of
      the optimizer, not batches.
    - Callbacks and modules that keep all they know in ``state_dict``, as numbers, text, lists,
      mappings and tensors. Metrics of an epoch that was cut off (``self.log(on_epoch=True)``)
      begin anew, and so may a ``monitor`` that reads them: log validation metrics.
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | PathLike[str],
        storage_options: Any | None = None,
    ) -> None:
        """Writes a checkpoint to a folder.

        Raises:
            ConfigError: ``storage_options``, which belong to remote storage.
            CheckpointError: the disk is full, or the checkpoint holds what cannot be written; the
                message names its path in the checkpoint. What was there is kept.
        """
        if storage_options is not None:
            raise ConfigError(
                "StateCheckpointIO writes to local folders; leave storage_options out"
            )
        write_state(_local(path), checkpoint)

    def load_checkpoint(
        self,
        path: str | PathLike[str],
        map_location: Any | None = None,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Gives the checkpoint of a folder, after checking every byte.

        Args:
            path: of the folder.
            map_location: a device, to put the tensors on; by default they are on the CPU, and
                Lightning copies them to where they belong.
            weights_only: without effect: there is never anything but tensors and plain data.

        Raises:
            ResumeError: it is damaged, or no folder that ``save_checkpoint`` wrote.
        """
        place = _local(path)
        if place.is_file():
            raise ResumeError(
                f"{place} is a file, as Lightning writes without StateCheckpointIO; it can be read "
                "by the Trainer that wrote it"
            )
        checkpoint = read_state(place)
        return checkpoint if map_location is None else _move(checkpoint, map_location)

    def remove_checkpoint(self, path: str | PathLike[str]) -> None:
        """Removes a folder that ``save_checkpoint`` wrote; anything else is left alone.

        Raises:
            ResumeError: it is something else.
        """
        place = _local(path)
        if not place.exists():
            return
        if not (place / MANIFEST).is_file():
            raise ResumeError(f"{place} is not removed: no StateCheckpointIO wrote it")
        shutil.rmtree(place)


def _local(path: str | PathLike[str]) -> Path:
    text = str(path)
    if "://" in text:
        raise ConfigError(f"StateCheckpointIO writes to local folders, not to {text:.200}")
    return Path(text)


def _move(value: Any, place: Any) -> Any:
    if isinstance(value, Tensor):
        if not isinstance(place, (str, torch.device)):
            raise ConfigError(f"map_location is a device here, got {place!r:.80}")
        return value.to(place)
    if isinstance(value, dict):
        return {key: _move(each, place) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_move(each, place) for each in value)
    return value
