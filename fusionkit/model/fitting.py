"""``fit_head``: sets what a head fits to a whole set of samples at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from fusionkit.errors import DataError
from fusionkit.features import Features
from fusionkit.model.fused import FusedModel
from fusionkit.model.given import join

__all__ = ["fit_head"]


def fit_head(model: FusedModel, batches: Iterable[tuple[Any, ...]]) -> FusedModel:
    """Fits the head to what the branches give for some samples, and gives the model back.

    The branches are run once in eval mode without gradients; what the head reads of them is kept
    for all samples, and handed to ``FusionHead.fit``. Samples that a branch was trained on make
    it look better than it is: hold some out, or fit on the training samples of frozen branches.

    Args:
        model: with a head that fits.
        batches: pairs of inputs, as the model takes them, and labels "b"; a third part may be
            features that were computed before, by branch, which then need no input.

    Raises:
        AssemblyError: the head has nothing to fit.
        DataError: there are no samples, or their labels are not whole numbers "b" in the range
            of the classes, as many as inputs; or what a branch gives for one is not finite.
    """
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            features, labels = _collect(model, batches)
            assert model.recipe.num_classes is not None
            _check_labels(labels, model.recipe.num_classes)
            _check_finite(features)
            model.head.fit(features, labels)
    finally:
        model.train(training)
    return model


def _collect(
    model: FusedModel, batches: Iterable[tuple[Any, ...]]
) -> tuple[dict[str, Features], Tensor]:
    parts: list[dict[str, Features]] = []
    labels: list[Tensor] = []
    for index, (inputs, given, *before) in enumerate(batches):
        known = before[0] if before else {}
        rest = [name for name in model.parts if name not in known]
        features = join(known, model.features(inputs, rest), model.parts)
        missing = sorted(set(model.parts) - set(features))
        if missing:
            raise DataError(
                f"fit_head, batch {index}: branch {missing[0]!r} has no input; a head is fitted "
                "to samples of which every branch has seen its part"
            )
        count = len(_first(next(iter(features.values()))))
        if not isinstance(given, Tensor) or given.shape != (count,) or given.is_floating_point():
            form = (
                f"{given.dtype} of shape {tuple(given.shape)}"
                if isinstance(given, Tensor)
                else type(given).__name__
            )
            raise DataError(
                f"fit_head, batch {index}: labels are whole numbers, one for each of the {count} "
                f"inputs; got {form}"
            )
        parts.append(features)
        labels.append(given.to(_first(next(iter(features.values()))).device))
    if not parts:
        raise DataError("fit_head was given no batches; hand over a loader of (inputs, labels)")
    joined = {name: _join([part[name] for part in parts]) for name in parts[0]}
    return joined, torch.cat(labels).long()


def _first(feature: Features) -> Tensor:
    return next(t for t in (feature.vector, *feature.maps, feature.logits) if t is not None)


def _join(parts: list[Features]) -> Features:
    """Gives the same fields for all samples."""
    vectors = [part.vector for part in parts if part.vector is not None]
    logits = [part.logits for part in parts if part.logits is not None]
    return Features(
        vector=torch.cat(vectors) if vectors else None,
        maps=tuple(map(torch.cat, zip(*(part.maps for part in parts), strict=True))),
        logits=torch.cat(logits) if logits else None,
    )


def _check_labels(labels: Tensor, num_classes: int) -> None:
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_classes:
        wrong = low if low < 0 else high
        raise DataError(
            f"fit_head: there is a label {wrong}, and the model has {num_classes} classes, "
            f"numbered from 0 to {num_classes - 1}"
        )


def _check_finite(features: Mapping[str, Features]) -> None:
    for name, feature in features.items():
        for value in (feature.vector, *feature.maps, feature.logits):
            if value is None:
                continue
            broken = (~value.isfinite().flatten(1).all(1)).nonzero().flatten().tolist()
            if broken:
                raise DataError(
                    f"fit_head: branch {name!r} gives NaN or infinite values for {len(broken)} of "
                    f"{len(value)} samples, the first of them number {broken[0]}; look at these "
                    "inputs, and at the branch's weights and precision"
                )
