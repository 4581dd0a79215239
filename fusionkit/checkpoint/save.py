"""``save``: recipe and tensors in one folder."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from torch import Tensor, nn

from fusionkit.assembly.inventory import find_change
from fusionkit.checkpoint.card_file import CARD, refuse_edited, write_card
from fusionkit.checkpoint.card_text import format_card
from fusionkit.checkpoint.config import CONFIG, SavedModel, describe, format_config, parse_config
from fusionkit.checkpoint.contents import write_contents
from fusionkit.checkpoint.folder import replace_folder
from fusionkit.checkpoint.model_card import ModelCard
from fusionkit.checkpoint.space import check_space
from fusionkit.checkpoint.target import check_replaceable
from fusionkit.errors import AssemblyError, CheckpointError, ConfigError
from fusionkit.model.fused import FusedModel
from fusionkit.saved.texts import write_text
from fusionkit.tensors.shards import read_size
from fusionkit.tensors.state import nonfinite_problem, state_of
from fusionkit.tensors.write import tensors_size

__all__ = ["save"]


def save(
    model: FusedModel,
    folder: str | PathLike[str],
    *,
    card: ModelCard | None = None,
    max_shard_size: int | str | None = None,
    verify: bool = False,
) -> Path:
    """Writes the model to a folder that ``load`` gives back bit for bit.

    The folder holds ``config.json``, ``model.safetensors``, ``manifest.json`` with their
    checksums, and a ``README.md`` that people may edit and ``load`` does not read. It is written
    beside its target and put in place in one step, so that a killed save leaves the old folder or
    the new one. A saved model in the same place is replaced; anything else is refused. Optimizers
    and gradients are not saved.

    A model whose parameters are not all finite, or that has NaN in a buffer, is refused: its
    training has diverged, and what was saved before is worth more.

    Args:
        model: as ``compose`` or ``load`` gave it, on any device, in any mode.
        folder: where to; made if need be.
        card: what ``README.md`` shall say of the training; what the model is made of is filled
            in. A ``README.md`` that was edited is kept, and refused where a card is given.
        max_shard_size: how many bytes of tensors a file may hold, as a number or a text such as
            ``"5GB"``; what takes more is divided among shards with an index, as the Hugging
            Face hub has it. ``None`` writes one file.
        verify: whether all tensors are read again and compared with the model's, bit by bit,
            before the folder is put in place.

    Returns:
        The folder.

    Raises:
        ConfigError: ``max_shard_size`` is no size, or ``card`` no card of this model.
        CheckpointError: the folder cannot be written, or holds what no save wrote, or the model
            has tensors that safetensors cannot hold or values that are not finite, or was
            changed by hand since it was composed, so that it could never be loaded.
    """
    if not isinstance(model, FusedModel):
        raise CheckpointError(_not_a_model(model))
    target = Path(folder)
    most = None if max_shard_size is None else read_size(max_shard_size)
    if card is not None:
        _check_card(card, model, target)
    said = card or ModelCard()

    def fill(fresh: Path) -> dict[str, str]:
        tensors = _tensors(model)
        _refuse_changed(model)
        text = _config_text(describe(model))
        check_space(fresh, target, tensors_size(tensors) + len(text))
        return {
            CONFIG: write_text(fresh / CONFIG, text),
            CARD: write_card(fresh, target, format_card(model, said, target.absolute().name)),
            **write_contents(fresh, tensors, most=most, verify=verify),
        }

    replace_folder(target, fill)
    return target


def _not_a_model(model: object) -> str:
    said = f"save takes a FusedModel, as compose gives it, and a folder; got {type(model).__name__}"
    if isinstance(model, nn.Module):
        for wrapped in ("_orig_mod", "module"):
            if isinstance(getattr(model, wrapped, None), FusedModel):
                return f"{said}; write save(model.{wrapped}, ...) for the model inside of it"
    return said


def _check_card(card: ModelCard, model: FusedModel, target: Path) -> None:
    if not isinstance(card, ModelCard):
        raise ConfigError(f"card is a fusionkit.ModelCard(...), got {card!r:.80}")
    classes = model.recipe.num_classes
    if card.classes and len(card.classes) != classes:
        raise ConfigError(
            f"ModelCard.classes has {len(card.classes)} names, but the model tells {classes} "
            "classes apart"
        )
    check_replaceable(target.absolute())
    refuse_edited(target)


def _tensors(model: FusedModel) -> dict[str, Tensor]:
    """Gives every tensor once, tied ones by their first name."""
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in state_of(model).items():
        if id(value) in seen:
            continue
        seen.add(id(value))
        problem = nonfinite_problem(value, isinstance(value, nn.Parameter))
        if problem:
            raise CheckpointError(
                f"the model is not saved: {name!r:.200} {problem}, so its training has diverged; "
                "go back to what was saved before, with a lower learning rate"
            )
        tensors[name] = value
    return tensors


def _refuse_changed(model: FusedModel) -> None:
    """Refuses a model that ``load`` could not build again, since no recipe says how."""
    change = find_change(model)
    if change:
        raise CheckpointError(
            f"the model is not saved, since it could not be loaded: {change}; a model is changed "
            "by composing it anew, not by adding modules to it"
        )
    try:
        model.param_groups(lr=0.0)
    except AssemblyError as error:
        raise CheckpointError(
            f"the model is not saved, since it could not be loaded: {error}"
        ) from error


def _config_text(saved: SavedModel) -> str:
    """Gives the config's text, after making sure that it is read back as it was."""
    text = format_config(saved)
    if parse_config(text, Path(CONFIG)) != saved:
        raise CheckpointError("the model's recipe does not come back equal from its own text")
    return text
