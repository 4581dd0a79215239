"""Pretrained weights: where they are, and how they come into a backbone."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path

import fusionkit as fk
import safetensors.torch
import torch

CACHE = "fusionkit-example"


@dataclass(frozen=True)
class Source:
    """One file of weights.

    Attributes:
        url: of a safetensors file with the backbone's own names.
        sha256: the checksum of the file, in hexadecimal digits.
        preprocessing: how the inputs were prepared in training.
    """

    url: str
    sha256: str
    preprocessing: fk.Preprocessing


SOURCES: dict[str, Source] = {}
"""By tag, the recommended one first. One on the Hugging Face hub has an address such as
``https://huggingface.co/NAME/REPOSITORY/resolve/main/FILE.safetensors``."""


def available_weights() -> tuple[str, ...]:
    """Gives the tags, for ``fusionkit info`` to show."""
    return tuple(SOURCES)


def load_weights(backbone: fk.Backbone, tag: str) -> None:
    """Fills a backbone with the weights of a tag, or of the first if it is ``"default"``."""
    if tag == "default" and SOURCES:
        tag = next(iter(SOURCES))
    if tag not in SOURCES:
        raise fk.ConfigError(
            f"there are no pretrained weights {tag!r}.{fk.did_you_mean(tag, SOURCES)} "
            "weights=None gives random ones, the path of a safetensors file those of the file"
        )
    tensors = {
        name: value
        for name, value in fetch(SOURCES[tag]).items()
        if not any(fnmatchcase(name, glob) for glob in backbone.dropped_keys)
    }
    for name in backbone.first_layers:
        tensors[name] = fk.adapt_input_channels(tensors[name], backbone.in_channels)
    # of a tied parameter a file has one name
    named = list(backbone.named_parameters(remove_duplicate=False))
    held = {id(value): tensors[name] for name, value in named if name in tensors}
    tensors |= {name: held[id(value)] for name, value in named if id(value) in held}
    try:
        backbone.load_state_dict(tensors)
    except RuntimeError as error:
        raise fk.CheckpointError(f"the weights {tag!r} do not fit: {error}") from error
    backbone.preprocessing = SOURCES[tag].preprocessing.for_channels(backbone.in_channels)
    backbone.weights = tag


def fetch(source: Source) -> dict[str, torch.Tensor]:
    """Gives the tensors of a file, which is downloaded only once."""
    path = Path(torch.hub.get_dir()) / CACHE / f"{source.sha256}.safetensors"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(source.url, str(path), source.sha256, progress=False)
        except (OSError, RuntimeError) as error:
            raise fk.CheckpointError(f"could not download {source.url}: {error}") from error
    data = path.read_bytes()
    if sha256(data).hexdigest() != source.sha256:
        raise fk.CheckpointError(f"{path} was changed since it was downloaded; delete it")
    return safetensors.torch.load(data)
