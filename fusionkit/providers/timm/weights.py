"""Loads pretrained weights, and fits them to another channel count or to no classifier."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fusionkit import AssemblyError, CheckpointError, FusionKitError, adapt_input_channels
from fusionkit.providers.timm.create import create_model, create_stock
from fusionkit.providers.timm.description import Description
from fusionkit.providers.timm.names import Source, is_network_failure, unreachable

__all__ = ["load_trunk"]

SAFE_NAMES = ("model.safetensors", "open_clip_model.safetensors")


def load_trunk(
    source: Source,
    description: Description,
    in_channels: int,
    keeps_classifier: bool,
    options: Mapping[str, Any],
) -> nn.Module:
    """Gives the model with its pretrained weights, each of its tensors filled from them.

    The weights are loaded strictly into the model that they are of. What differs from it, the
    first layers and the missing classifier, is then made from its tensors.

    Raises:
        CheckpointError: the weights cannot be fetched, are no safetensors file, or do not fit.
        AssemblyError: the first layer cannot be adapted to that many channels.
    """
    stock_channels = int(source.description.get("input_size", (3,))[0])
    same_channels = in_channels == stock_channels
    if not same_channels and (description.unadaptable or not description.first_layers):
        raise AssemblyError(
            f"the pretrained first layer of timm/{source.name} cannot be adapted from "
            f"{stock_channels} to {in_channels} channels, because of how "
            f"{_some(description.unadaptable)} reads them; give it {stock_channels} channels, "
            "or write weights=None"
        )
    stock = _load_stock(source, options)
    if same_channels and (keeps_classifier or source.num_classes == 0):
        return stock
    trunk = create_model(source, in_channels, keeps_classifier, options, device="meta")
    return _transplant(stock, trunk, description.first_layers, in_channels)


def _load_stock(source: Source, options: Mapping[str, Any]) -> nn.Module:
    try:
        if source.folder is not None:
            return _create_from(source, options, _find_file(source, source.folder))
        if source.repository is not None:
            return _create_from(source, options, _download(source.repository))
        return create_stock(source, options)
    except FusionKitError:
        raise
    except Exception as error:
        if is_network_failure(error) and source.folder is None:
            raise unreachable(source.name, error) from error
        raise CheckpointError(
            f"the weights of timm/{source.name} do not fit the model"
            f"{f' with the options {dict(options)!r}' if options else ''}: {error}"
        ) from error


def _create_from(source: Source, options: Mapping[str, Any], path: Path) -> nn.Module:
    overlay = {"file": str(path), "custom_load": False}
    return create_stock(source, options, pretrained_cfg_overlay=overlay)


def _find_file(source: Source, folder: Path) -> Path:
    files = sorted(folder.glob("*.safetensors"))
    for name in SAFE_NAMES:
        if folder / name in files:
            return folder / name
    if len(files) == 1:
        return files[0]
    found = "several safetensors files" if files else "no safetensors file"
    raise CheckpointError(
        f"timm/{source.name} holds {found}; put the weights there as model.safetensors "
        "(pickled weights are not read), or write weights=None"
    )


def _download(repository: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    name, _, revision = repository.partition("@")
    for file in SAFE_NAMES:
        try:
            return Path(hf_hub_download(name, file, revision=revision or None))
        except LocalEntryNotFoundError:  # no network, which says nothing of what is there
            raise
        except EntryNotFoundError:
            continue
    raise CheckpointError(
        f"timm/hf-hub:{repository} holds no safetensors file of weights (pickled weights are "
        "not read); convert it, or write weights=None"
    )


def _transplant(
    stock: nn.Module, trunk: nn.Module, first_layers: tuple[str, ...], in_channels: int
) -> nn.Module:
    """Gives ``trunk``, which lies on the meta device, with the tensors of ``stock``."""
    given = stock.state_dict()
    state: dict[str, Tensor] = {name: given[name] for name in trunk.state_dict()}
    for name in first_layers:
        state[name] = adapt_input_channels(given[name], in_channels)
    trunk.load_state_dict(state, strict=True, assign=True)
    for name, value in list(trunk.named_buffers()):
        if value.is_meta:  # computed when built, and not part of a checkpoint
            path, _, leaf = name.rpartition(".")
            setattr(trunk.get_submodule(path), leaf, stock.get_buffer(name))
    return trunk


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(repr(name) for name in names[:3]) or "it"
