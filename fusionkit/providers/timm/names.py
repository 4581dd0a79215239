"""From the name of a model to what timm knows of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fusionkit import CheckpointError, ConfigError, FusionKitError, did_you_mean

__all__ = [
    "Source",
    "available_weights",
    "find_source",
    "is_known",
    "is_network_failure",
    "refuse_unknown_tag",
    "unreachable",
]

HUB = "hf-hub:"
FOLDER = "local-dir:"
NETWORK_LIBRARIES = ("httpx", "huggingface_hub", "requests", "urllib", "urllib3")


@dataclass(frozen=True, slots=True)
class Source:
    """One model and one set of its weights, described but not loaded.

    Attributes:
        architecture: the name in timm's registry.
        name: the full name of the weights, with tag, or the folder's or repository's name.
        description: timm's own account of the weights (``pretrained_cfg``).
        has_weights: whether there are any to load.
        options: how the saved model was built; what the caller writes goes before.
        is_registered: whether ``description`` is what timm's registry has under ``name``.
    """

    architecture: str
    name: str
    description: Mapping[str, Any]
    has_weights: bool
    options: Mapping[str, Any] = field(default_factory=dict)
    is_registered: bool = True

    @property
    def folder(self) -> Path | None:
        """The local folder that it comes from, if it does."""
        return Path(self.name.removeprefix(FOLDER)) if self.name.startswith(FOLDER) else None

    @property
    def repository(self) -> str | None:
        """The hub repository that it comes from, if its name says so."""
        return self.name.removeprefix(HUB) if self.name.startswith(HUB) else None

    @property
    def base_model(self) -> str | None:
        """The repository on the hub that the weights lie in, without a revision."""
        if self.repository is not None:
            return self.repository.partition("@")[0]
        return self.description.get("hf_hub_id") if self.is_registered else None

    @property
    def num_classes(self) -> int:
        """How many classes the stock classifier has, 0 where there is none."""
        return int(self.description.get("num_classes", 1000))

    def with_classes(self, count: int) -> Source:
        """Gives the same model with a classifier of another width."""
        return replace(self, description={**self.description, "num_classes": count})


def is_known(name: str) -> bool:
    """Tells whether a name can be looked up, without network or disk."""
    if name.startswith((HUB, FOLDER)):
        return len(name.partition(":")[2]) > 0
    architecture, dot, _ = name.partition(".")
    return _is_current(architecture) and (not dot or name in _tagged_names(architecture))


def find_source(name: str, weights: str | None) -> Source:
    """Gives the description of a model, with the tag that ``weights`` names if it names one.

    Raises:
        ConfigError: no such tag, or a folder without a usable description.
        CheckpointError: the hub cannot be reached, or has no such repository.
    """
    if name.startswith((HUB, FOLDER)):
        if weights not in (None, "default"):
            raise ConfigError(
                f"timm/{name} has no tags, but weights={weights!r} was asked for; write "
                "weights='default' for those that lie there, or None for random initialisation"
            )
        return _read_saved(name)
    architecture, _, tag = name.partition(".")
    if weights not in (None, "default"):
        tag = str(weights)
    source = _registered(architecture, tag)
    if weights is not None and not source.has_weights:
        others = [
            known for known in _tags(architecture) if _registered(architecture, known).has_weights
        ]
        advice = f", or one of its tags: {', '.join(others[:3])}" if others else ""
        raise ConfigError(
            f"timm has no pretrained weights for {source.name}; write weights=None for random "
            f"initialisation{advice}, or the path of a safetensors file"
        )
    return source


def available_weights(name: str) -> tuple[str, ...]:
    """Gives the pretrained tags of a registered architecture; of any other name, none."""
    return tuple(_tags(name.partition(".")[0]))


def refuse_unknown_tag(name: str) -> None:
    """Refuses a known architecture with a tag that it has not, naming near tags.

    Raises:
        ConfigError: the architecture has other tags.
    """
    architecture, _, tag = name.partition(".")
    if tag and _is_current(architecture):
        _registered(architecture, tag)


def _registered(architecture: str, tag: str) -> Source:
    from timm.models import get_pretrained_cfg

    full = f"{architecture}.{tag}" if tag else architecture
    if tag and full not in _tagged_names(architecture):
        tags = _tags(architecture)
        near = did_you_mean(tag, tags) or (
            f" It has {', '.join(repr(known) for known in tags[:3])}"
            f"{', ...' if len(tags) > 3 else ''}."
            if tags
            else " It has none: write weights=None."
        )
        raise ConfigError(f"timm's {architecture} has no weights {tag!r}.{near}")
    found = get_pretrained_cfg(full)
    if found is None:
        return Source(architecture, architecture, {}, has_weights=False)
    full = f"{architecture}.{found.tag}" if found.tag else architecture
    description: dict[str, Any] = found.to_dict()  # type: ignore[no-untyped-call]
    return Source(architecture, full, description, has_weights=bool(found.has_weights))


def _read_saved(name: str) -> Source:
    from timm.models._hub import load_model_config_from_hf, load_model_config_from_path

    place = name.partition(":")[2]
    try:
        if name.startswith(HUB):
            description, architecture, options = load_model_config_from_hf(place)
        else:
            description, architecture, options = load_model_config_from_path(place)
    except Exception as error:
        if is_network_failure(error) and name.startswith(HUB):
            raise unreachable(name, error) from error
        if isinstance(error, FileNotFoundError):
            raise ConfigError(
                f"timm/{name}: {place} holds no config.json, which says what model it is; "
                "give a folder that timm's save_for_hf wrote"
            ) from error
        raise ConfigError(
            f"timm/{name}: its config.json does not describe a timm model ({error!r})"
        ) from error
    if not _is_current(architecture):
        raise ConfigError(
            f"timm/{name} is of the architecture {architecture!r}, which this timm does not "
            f"have.{did_you_mean(architecture, _architectures())}"
        )
    source = Source(architecture, name, description, has_weights=True)
    return replace(source, options=dict(options or {}), is_registered=False)


def is_network_failure(error: Exception) -> bool:
    """Tells what the network and its libraries raise from everything else."""
    return isinstance(error, OSError) or type(error).__module__.split(".")[0] in NETWORK_LIBRARIES


def unreachable(name: str, error: Exception) -> FusionKitError:
    """Gives the error to raise when weights or a description could not be fetched."""
    first = (str(error).strip().splitlines() or [""])[0][:200]
    return CheckpointError(
        f"cannot fetch timm/{name}: no network, or the hub does not answer or has no such "
        f"thing ({type(error).__name__}: {first}); pass weights=None for random "
        "initialisation, or the path of a safetensors file"
    )


def _architectures() -> list[str]:
    import timm

    names: list[str] = timm.list_models()
    return names


def _is_current(architecture: str) -> bool:
    """Tells a registered architecture from an unknown one and from a former name."""
    from timm.models import is_model
    from timm.models._registry import get_deprecated_models

    return (
        "." not in architecture
        and bool(is_model(architecture))
        and architecture not in get_deprecated_models()
    )


def _tagged_names(architecture: str) -> list[str]:
    from timm.models._registry import _model_with_tags

    return list(_model_with_tags.get(architecture, ()))


def _tags(architecture: str) -> list[str]:
    names = _tagged_names(architecture)
    return [name.partition(".")[2] for name in names if "." in name]
