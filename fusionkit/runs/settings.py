"""What a run is besides its model: settings for data and training, and the whole ``Job``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fusionkit.data.augment import Augment
from fusionkit.errors import ConfigError
from fusionkit.model.shapes import SHAPES
from fusionkit.numbers import is_count, is_number
from fusionkit.recipe.values import Recipe

__all__ = ["PRECISIONS", "DataSettings", "Job", "Monitor", "Named", "TrainingSettings"]

Monitor = Literal["val_loss", "val_accuracy"]

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
"""Those that leave the weights as they are; another type would round frozen branches too."""


@dataclass(frozen=True, slots=True)
class Named:
    """Something by its name, with its own options.

    Attributes:
        name: of an optimizer or a schedule.
        options: of that one.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSettings:
    """Where samples come from, and how they are read.

    Attributes:
        source: a folder of images, a manifest (CSV or Parquet), or shards; relative to the
            recipe's folder. ``--data`` takes its place.
        train: the split to learn from.
        val: the split to validate on, where there is one.
        val_share: of the training samples that are held out, by class, where there is none.
        label: the column of the label, in a manifest.
        texts: inputs whose cells are texts and no paths, in a manifest.
        augment: how training samples are varied, as ``fusionkit.data.Augment`` takes it; ``True``
            as most fine-tuning does.
        broken: what happens to a sample that cannot be read: ``"stop"`` or ``"skip"``.
        exact: whether images are resized to PIL's own pixels, bit for bit; ``False`` takes a
            quarter of the time for it.
        workers: processes that read and decode; 0 does it in the main one.
        length: of shards, how many samples an epoch of training has; ``None`` for all there are.
    """

    source: str | None = None
    train: str = "train"
    val: str = "val"
    val_share: float = 0.2
    label: str = "label"
    texts: tuple[str, ...] = ()
    augment: bool | Mapping[str, Any] = False
    broken: Literal["stop", "skip"] = "stop"
    exact: bool = True
    workers: int = 0
    length: int | None = None

    def __post_init__(self) -> None:
        if not is_number(self.val_share) or not 0 < self.val_share < 1:
            raise ConfigError(f"val_share is between 0 and 1, got {self.val_share!r:.80}")
        if self.train == self.val:
            raise ConfigError(f"train and val are one split, {self.train!r:.80}")
        _check_counts(self, workers=0)
        _check_counts(self, optional=True, length=1)
        Augment.from_data(self.augment)  # says what is wrong with it

    @property
    def variation(self) -> Augment:
        """The augmentation of training samples."""
        return Augment.from_data(self.augment)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """How long, how fast and on what a model is trained.

    Attributes:
        epochs: passes over the training samples; 0 only fits a head that is fitted.
        batch_size: samples in a step, on each device.
        lr: the base rate, which the head has; each branch's ``lr`` is a multiple of it.
        weight_decay: of the groups that decay.
        optimizer: as ``fusionkit.training.build_optimizer`` takes it.
        schedule: as ``model.lr_scheduler`` takes it.
        label_smoothing: of the cross entropy, in [0, 1).
        clip: the norm that gradients are cut to; ``None`` for none.
        accumulate: batches whose gradients are added up for one step.
        ema: the decay of a moving average, which is then validated and saved; ``None`` for none.
        precision: ``"32-true"``, ``"bf16-mixed"`` or ``"16-mixed"``, as Lightning names them; a
            head is fitted, and the best model measured, in ``"32-true"`` always.
        seed: of the head's first values, the order of samples, augmentation and dropout.
        monitor: by which metric the best model is chosen.
        patience: epochs without a better one after which the run ends; ``None`` for never.
        cache: whether features of frozen branches are kept on disk.
        cache_views: how many augmented views of each sample the cache keeps; must be said where
            samples are varied.
        channels_last: whether convolutions run in that memory format, which is faster.
        fit_head: on which samples a head that is fitted to all of them at once is fitted, at the
            end: ``"auto"`` takes those it learned from if every branch is frozen, else those held
            out; ``"train"``, ``"val"``, or ``"never"``.
        save_every: steps between checkpoints to resume from; ``None`` saves after each epoch.
        accelerator: as Lightning names it: ``"auto"``, ``"cpu"``, ``"gpu"``.
        devices: how many.
        nodes: how many machines.
        strategy: ``"ddp"`` gives each process the whole model, ``"fsdp"`` a share of it;
            ``"auto"`` is ``"ddp"`` where there are several.
    """

    epochs: int = 10
    batch_size: int = 32
    lr: float = 1e-3
    weight_decay: float = 0.05
    optimizer: Named = field(default_factory=lambda: Named("adamw"))
    schedule: Named = field(default_factory=lambda: Named("cosine"))
    label_smoothing: float = 0.0
    clip: float | None = None
    accumulate: int = 1
    ema: float | None = None
    precision: str = "32-true"
    seed: int = 0
    monitor: Monitor = "val_loss"
    patience: int | None = None
    cache: bool = False
    cache_views: int = 0
    channels_last: bool = True
    fit_head: Literal["auto", "train", "val", "never"] = "auto"
    save_every: int | None = None
    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"

    def __post_init__(self) -> None:
        _check_counts(self, epochs=0, batch_size=1, accumulate=1, seed=0, cache_views=0)
        _check_counts(self, devices=1, nodes=1)
        _check_counts(self, optional=True, patience=1, save_every=1)
        for name in ("lr", "weight_decay"):
            value = getattr(self, name)
            if not is_number(value) or not 0 <= value < math.inf or (name == "lr" and not value):
                wanted = "a positive number" if name == "lr" else "a number, zero or more"
                raise ConfigError(f"{name} is {wanted}, got {value!r:.80}")
        if self.clip is not None and not (is_number(self.clip) and 0 < self.clip < math.inf):
            raise ConfigError(
                f"clip is the norm that gradients are cut to, a positive number or null; got "
                f"{self.clip!r:.80}"
            )
        self._check_precision()
        if self.clips_mixed and self.optimizer.options.get("fused"):
            raise ConfigError(
                f"clip cannot cut the gradients of a fused optimizer under precision "
                f"{self.precision}; leave optimizer.options.fused out"
            )
        self._check_shards()
        for name in ("label_smoothing", "ema"):
            value = getattr(self, name)
            if value is not None and not (is_number(value) and 0 <= value < 1):
                raise ConfigError(f"{name} is a number in [0, 1), got {value!r:.80}")
        if self.schedule.name not in SHAPES:
            raise ConfigError(
                f"there is no schedule {self.schedule.name!r:.80}; there are {', '.join(SHAPES)}"
            )

    def _check_precision(self) -> None:
        if self.precision in PRECISIONS:
            return
        known = f"there are {', '.join(PRECISIONS)}"
        named = str(self.precision)
        if named.endswith("-true"):
            other = "32-true" if named == "64-true" else named.replace("true", "mixed")
            if other in PRECISIONS:
                raise ConfigError(
                    f"precision {named} would give all weights another type, those of frozen "
                    f"branches too, which stay as they are; write {other}. In all {known}"
                )
        raise ConfigError(f"there is no precision {self.precision!r:.80}; {known}")

    @property
    def clips_mixed(self) -> bool:
        """Whether gradients are clipped under mixed precision, which no fused step allows."""
        return self.clip is not None and self.precision.endswith("-mixed")

    def _check_shards(self) -> None:
        if self.strategy != "fsdp":
            return
        if self.devices * self.nodes == 1:
            raise ConfigError("strategy fsdp shards a model over several devices; set devices")
        for name in ("ema", "clip", "cache"):
            if getattr(self, name):
                raise ConfigError(
                    f"{name} is not done to a model in shards; leave it out, or take strategy ddp"
                )


@dataclass(frozen=True, slots=True)
class Job:
    """A whole run as a value: the model, what it learns from, and how.

    Attributes:
        recipe: of the model; its ``num_classes`` may be left to the data.
        data: where samples come from.
        training: how long and how fast.
    """

    recipe: Recipe
    data: DataSettings = field(default_factory=DataSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)

    def __post_init__(self) -> None:
        training = self.training
        if training.cache and self.data.variation.is_random and not training.cache_views:
            raise ConfigError(
                "training.cache keeps the features of each sample, but data.augment varies it in "
                "each epoch; keep some varied views of each with training.cache_views: 4, or "
                "leave one of the two out"
            )


def _check_counts(settings: object, *, optional: bool = False, **least: int) -> None:
    for name, smallest in least.items():
        value = getattr(settings, name)
        if not (optional and value is None) and not is_count(value, smallest):
            raise ConfigError(
                f"{name} is a whole number, at least {smallest}"
                f"{', or null' if optional else ''}; got {value!r:.80}"
            )
