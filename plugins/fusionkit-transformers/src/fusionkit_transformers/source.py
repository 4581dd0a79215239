"""From a name to the description of a model: its configuration and where its files lie."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusionkit import ConfigError, OptionError, did_you_mean
from fusionkit_transformers import hub
from fusionkit_transformers.names import FOLDER, is_model_type
from fusionkit_transformers.quiet import quiet

__all__ = ["Source", "find_source", "saved_settings"]

BOOKKEEPING = frozenset(
    (
        *("_name_or_path", "architectures", "auto_map", "dtype", "id2label", "label2id"),
        *("quantization_config", "torch_dtype", "transformers_version"),
    )
)
FORCED = {"return_dict": True, "output_hidden_states": False, "output_attentions": False}


@dataclass(frozen=True, slots=True)
class Source:
    """One model, described but not built.

    Attributes:
        name: as it was asked for.
        config: of transformers.
        architecture: the class that the weights were saved from, where that is known.
        folder: where its files lie; ``None`` for a model type, which has none.
        from_hub: whether the folder is the cache of the hub.
    """

    name: str
    config: Any
    architecture: str | None
    folder: Path | None
    from_hub: bool = False


def find_source(
    name: str, settings: Mapping[str, Any], *, trust_remote_code: bool = False
) -> Source:
    """Gives the description of a model, with some of its settings changed.

    Raises:
        ConfigError: there is no description, or it cannot be read.
        CheckpointError: the hub cannot be reached.
        OptionError: the model has no such setting.
    """
    if is_model_type(name):
        return Source(name, _configure(name, settings), None, None)
    folder = _folder(name)
    if trust_remote_code and not name.startswith(FOLDER):
        hub.fetch_code(name, folder)
    config = _read(name, folder, trust_remote_code)
    architectures = getattr(config, "architectures", None) or [None]
    _change(name, config, settings)
    return Source(name, config, architectures[0], folder, not name.startswith(FOLDER))


def saved_settings(config: Any) -> dict[str, Any]:
    """Gives all settings of a model as plain data, less what says nothing of its structure."""
    import json

    # through JSON, as transformers writes it, so that nothing else than plain data is left
    settings = _clean(json.loads(config.to_json_string(use_diff=False)))
    settings["num_labels"] = config.num_labels
    return settings


def _clean(settings: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _clean(value) if isinstance(value, dict) else value
        for key, value in settings.items()
        if key not in BOOKKEEPING
    }


def _folder(name: str) -> Path:
    if not name.startswith(FOLDER):
        return hub.fetch(name)
    folder = Path(name.removeprefix(FOLDER)).expanduser()
    if not (folder / hub.CONFIG).is_file():
        raise ConfigError(
            f"hf/{name}: {folder} holds no config.json, which says what model it is; "
            "give a folder that save_pretrained wrote"
        )
    return folder


def _read(name: str, folder: Path, trust_remote_code: bool) -> Any:
    from transformers import AutoConfig

    try:
        with quiet():
            config = AutoConfig.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=trust_remote_code
            )
    except Exception as error:
        if not trust_remote_code and "trust_remote_code" in str(error):
            raise ConfigError(
                f"hf/{name} brings its own Python code, which is not run unless told so: read it "
                "and write options={'trust_remote_code': True}"
            ) from error
        raise ConfigError(
            f"hf/{name}: its config.json does not describe a model that this transformers has: "
            f"{_first_line(error)}"
        ) from error
    for key, value in FORCED.items():
        setattr(config, key, value)
    return config


def _configure(model_type: str, settings: Mapping[str, Any]) -> Any:
    from transformers import AutoConfig

    with quiet():
        bare = AutoConfig.for_model(model_type)
        _refuse_unknown(model_type, bare, settings)
        known = {key: value for key, value in settings.items() if key != "model_type"}
        try:
            return AutoConfig.for_model(model_type, **{**deepcopy(known), **FORCED})
        except Exception as error:
            raise _unfit(model_type, settings, error) from error


def _change(name: str, config: Any, settings: Mapping[str, Any]) -> None:
    _refuse_unknown(name, config, settings)
    for key, value in settings.items():
        current = getattr(config, key, None)
        if isinstance(value, Mapping) and hasattr(current, "to_dict"):
            _change(f"{name} {key}", current, value)
            continue
        try:
            setattr(config, key, deepcopy(value))
        except Exception as error:
            raise _unfit(name, {key: value}, error) from error


def _refuse_unknown(name: str, config: Any, settings: Mapping[str, Any]) -> None:
    if not isinstance(settings, Mapping):
        raise OptionError(f"hf/{name}: `config` is a mapping of settings, got {settings!r:.80}")
    aliases = getattr(config, "attribute_map", {})
    known = {*config.to_dict(), *aliases, "num_labels", "model_type", *FORCED}
    for key in settings:
        if key not in known:
            raise OptionError(
                f"hf/{name}: {type(config).__name__} has no setting {key!r}."
                f"{did_you_mean(str(key), known)}"
            )


def _unfit(name: str, settings: Mapping[str, Any], error: Exception) -> OptionError:
    written = ", ".join(f"{key}={value!r:.40}" for key, value in list(settings.items())[:3])
    return OptionError(f"hf/{name} cannot be configured with {written}: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
