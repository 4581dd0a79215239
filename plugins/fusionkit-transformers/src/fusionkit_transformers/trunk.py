"""Builds a trunk: with random parameters, or with those of a folder's safetensors files."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from copy import deepcopy
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fusionkit import AssemblyError, CheckpointError, OptionError, adapt_input_channels
from fusionkit_transformers.hub import INDEX, WEIGHTS
from fusionkit_transformers.kinds import Kind
from fusionkit_transformers.quiet import quiet
from fusionkit_transformers.source import Source
from fusionkit_transformers.trace import REFUSALS

__all__ = ["adapt_trunk", "channel_field", "file_keys", "load_trunk", "make_trunk", "takes_pooler"]

CHANNELS = ("num_channels", "in_channels", "in_chans")
COMPUTED = ("*position_ids", "*relative_position_index", "*num_batches_tracked")
"""Buffers that old files hold and that are worked out when a model is built."""


def takes_pooler(kind: Kind) -> bool:
    """Tells whether the class can be built with and without its pooler."""
    return "add_pooling_layer" in inspect.signature(kind.trunk.__init__).parameters


def channel_field(config: Any) -> str | None:
    """Gives the name of the setting that holds the channels of the input, if there is one."""
    return next((name for name in CHANNELS if isinstance(getattr(config, name, None), int)), None)


def make_trunk(kind: Kind, *, pooler: bool, in_channels: int | None = None) -> nn.Module:
    """Gives a model with random parameters, where torch builds by default.

    Raises:
        OptionError: its settings do not fit each other.
    """
    config = deepcopy(kind.config)
    if in_channels is not None:
        _set_channels(config, in_channels)
    config.dtype = None
    try:
        with quiet():
            trunk: nn.Module = kind.trunk(config, **_pooling(kind, pooler))
            return trunk
    except (ImportError, *REFUSALS) as error:
        raise OptionError(
            f"{kind.trunk.__name__} cannot be built with these settings: "
            f"{' '.join(str(error).split())[:300]}"
        ) from error


def load_trunk(
    source: Source,
    kind: Kind,
    *,
    pooler: bool,
    ignored_keys: Sequence[str],
    trust_remote_code: bool,
) -> nn.Module:
    """Gives a model with all of its parameters from a folder's files, in 32 bits.

    What the files hold beyond it is refused, but for what is not part of it: heads, the other
    tower, a pooler that is not read, and what ``ignored_keys`` names.

    Raises:
        CheckpointError: there is no safetensors file, or it does not fit.
    """
    assert source.folder is not None
    keys = file_keys(source.folder)
    if not keys:
        raise CheckpointError(
            f"hf/{source.name} holds no {WEIGHTS} (pickled weights are not read); convert them "
            "once with save_pretrained, or write weights=None for random parameters"
        )
    try:
        with quiet():
            trunk, report = kind.trunk.from_pretrained(
                str(source.folder),
                config=deepcopy(kind.config),
                dtype=torch.float32,
                local_files_only=True,
                output_loading_info=True,
                trust_remote_code=trust_remote_code,
                use_safetensors=True,
                **_pooling(kind, pooler),
            )
    except Exception as error:
        raise CheckpointError(
            f"the weights of hf/{source.name} do not fit {kind.trunk.__name__}: "
            f"{' '.join(str(error).split())[:400]}"
        ) from error
    allowed = (*ignored_keys, *COMPUTED, *(() if pooler else ("pooler.*", "*.pooler.*")))
    _refuse_misfit(source.name, trunk, report, keys, allowed)
    loaded: nn.Module = trunk.train()
    return loaded


def adapt_trunk(kind: Kind, stock: nn.Module, *, pooler: bool, in_channels: int) -> nn.Module:
    """Gives the model for another channel count, with the parameters of the stock one.

    Raises:
        AssemblyError: some parameter depends on the channels in another way than by reading
            them along dimension 1.
    """
    trunk = make_trunk(kind, pooler=pooler, in_channels=in_channels)
    given, state = stock.state_dict(), trunk.state_dict()
    for name, value in state.items():
        theirs = given[name]
        if theirs.shape != value.shape:
            fits = theirs.ndim > 1 and theirs.shape[:1] + theirs.shape[2:] == (
                value.shape[:1] + value.shape[2:]
            )
            if not fits or value.shape[1] != in_channels:
                raise AssemblyError(
                    f"the pretrained {name!r} cannot be adapted to {in_channels} channels; give "
                    "the branch the channels that it was trained on, or write weights=None"
                )
            theirs = adapt_input_channels(theirs, in_channels)
        state[name] = theirs
    trunk.load_state_dict(state, strict=True)
    return trunk


def file_keys(folder: Path | None) -> tuple[str, ...]:
    """Gives the names in a folder's safetensors files; none where there is no such file.

    Raises:
        CheckpointError: the files are damaged, or lie outside of the folder.
    """
    if folder is None:
        return ()
    if (folder / INDEX).is_file() and not (folder / WEIGHTS).is_file():
        try:
            index = json.loads((folder / INDEX).read_text())["weight_map"]
            shards = set(index.values())
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{folder / INDEX} is no index of weights: {error}") from error
        for shard in shards:
            if Path(shard).name != shard or not (folder / shard).is_file():
                raise CheckpointError(f"{folder / INDEX} names {shard!r:.80}, which is not there")
        return tuple(index)
    if not (folder / WEIGHTS).is_file():
        return ()
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / WEIGHTS, "pt") as file:
            return tuple(file.keys())
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder / WEIGHTS} is no safetensors file: {error}") from error


def _pooling(kind: Kind, pooler: bool) -> dict[str, bool]:
    return {"add_pooling_layer": pooler} if takes_pooler(kind) else {}


def _set_channels(config: Any, in_channels: int) -> None:
    field = channel_field(config)
    if field is None and in_channels != 3:
        raise AssemblyError(
            f"{type(config).__name__} has no setting for the channels of the input; give it three"
        )
    if field is not None:
        setattr(config, field, in_channels)


def _refuse_misfit(
    name: str, trunk: Any, report: Any, keys: tuple[str, ...], allowed: tuple[str, ...]
) -> None:
    problems = []
    for key in ("missing_keys", "mismatched_keys", "error_msgs"):
        found = sorted(map(str, report.get(key) or ()))
        if found:
            problems.append(f"{len(found)} {key.partition('_')[0]} ({', '.join(found[:3])})")
    inside = _prefix(trunk, keys)
    unexpected = [
        key
        for key in sorted(report.get("unexpected_keys") or ())
        if not any(fnmatchcase(key, glob) for glob in allowed)
        # what lies beside the trunk in the file belongs to a head or to another tower
        and not (inside and key in keys and not key.startswith(inside))
    ]
    if unexpected:
        problems.append(f"{len(unexpected)} that it does not have ({', '.join(unexpected[:3])})")
    if problems:
        raise CheckpointError(
            f"the weights of hf/{name} do not fit {type(trunk).__name__}: "
            f"{'; '.join(problems)}; what may be left out is named in "
            "options={'ignored_keys': [...]}"
        )


def _prefix(trunk: Any, keys: tuple[str, ...]) -> str:
    """Gives what the trunk's own names begin with in the file, empty where with nothing."""
    tower = "text_model" if trunk.main_input_name == "input_ids" else "vision_model"
    for prefix in (trunk.base_model_prefix, tower):
        if prefix and any(key.startswith(f"{prefix}.") for key in keys):
            return f"{prefix}."
    return ""
