"""Which class of transformers a trunk is, and what it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from fusionkit import AssemblyError, ConfigError, OptionError, did_you_mean
from fusionkit_transformers.source import Source

__all__ = ["Kind", "Tower", "find_kind"]

Tower: TypeAlias = Literal["vision", "text"]

CLASSIFIERS = (
    "ForImageClassification",
    "ForImageClassificationWithTeacher",
    "ForSequenceClassification",
)
TOWERS = {"vision": "vision_config", "text": "text_config"}
ELSEWHERE = frozenset(("timm_backbone", "timm_wrapper"))


@dataclass(frozen=True, slots=True)
class Kind:
    """What will be built.

    Attributes:
        trunk: the class of transformers.
        config: for it; of a model of two towers, that of one.
        classifies: whether the class ends in a classifier.
        gives_maps: whether the class is one of transformers' own backbones, which gives maps
            and no vector.
        takes: ``"images"`` or ``"text"``.
        is_base: whether the weights were saved from this very class.
    """

    trunk: type[Any]
    config: Any
    classifies: bool
    gives_maps: bool
    takes: Literal["images", "text"]
    is_base: bool


def find_kind(source: Source, architecture: str | None, tower: str | None) -> Kind:
    """Gives the class of a trunk: that of a stock classifier or backbone, else the bare model.

    Args:
        source: what is to be built.
        architecture: the class by its name; ``None`` for what its weights were saved from.
        tower: which half of a model of images and text; ``None`` for images.

    Raises:
        ConfigError: the model is for another provider.
        OptionError: there is no such class or tower.
        AssemblyError: the model takes neither images nor text.
    """
    config = source.config
    if config.model_type in ELSEWHERE:
        raise ConfigError(
            f"hf/{source.name} is a timm model; write timm/hf-hub:{source.name}, or its name"
        )
    if tower is not None and tower not in TOWERS:
        raise OptionError(f"hf/{source.name}: `tower` is 'vision' or 'text', got {tower!r:.80}")
    saved = _class(architecture or source.architecture)
    if architecture is not None and saved is None:
        import transformers

        known = [name for name in dir(transformers) if name[:1].isupper()]
        raise OptionError(
            f"hf/{source.name}: transformers has no model {architecture!r:.80}."
            f"{did_you_mean(architecture, known)}"
        )
    is_stock = saved is not None and saved.__name__.endswith((*CLASSIFIERS, "Backbone"))
    two_towers = all(hasattr(config, key) for key in TOWERS.values())
    if tower is not None and (is_stock or not two_towers):
        raise OptionError(f"hf/{source.name} has one tower only; leave `tower` out")
    if saved is not None and (is_stock or architecture is not None):
        trunk = saved
    else:
        if two_towers:
            config = getattr(config, TOWERS[tower or "vision"])
        trunk = _bare(source, config, two_towers)
    return Kind(
        trunk=trunk,
        config=config,
        classifies=trunk.__name__.endswith(CLASSIFIERS),
        gives_maps=trunk.__name__.endswith("Backbone"),
        takes=_takes(source, trunk),
        is_base=source.architecture in (None, trunk.__name__),
    )


def _class(name: str | None) -> type[Any] | None:
    import transformers
    from torch import nn

    found = getattr(transformers, name, None) if isinstance(name, str) else None
    return found if isinstance(found, type) and issubclass(found, nn.Module) else None


def _bare(source: Source, config: Any, of_two: bool) -> type[Any]:
    from transformers import MODEL_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING

    remote = getattr(config, "auto_map", None) or {}
    if type(config) not in MODEL_MAPPING and "AutoModel" in remote and source.folder is not None:
        from transformers.dynamic_module_utils import get_class_from_dynamic_module

        # only reached where the configuration itself already came from such code
        return get_class_from_dynamic_module(remote["AutoModel"], str(source.folder))
    if type(config) in MODEL_FOR_TEXT_ENCODING_MAPPING:  # of T5, the encoder alone
        return MODEL_FOR_TEXT_ENCODING_MAPPING[type(config)]
    if type(config) in MODEL_MAPPING:
        found = MODEL_MAPPING[type(config)]
        return found[0] if isinstance(found, tuple) else found
    by_name = _class(f"{type(config).__name__.removesuffix('Config')}Model")
    if by_name is not None:
        return by_name
    half = " and none of its towers" if of_two else ""
    raise AssemblyError(
        f"hf/{source.name}: transformers has no bare model for {type(config).__name__}{half}; "
        "name one with options={'architecture': ...}"
    )


def _takes(source: Source, trunk: type[Any]) -> Literal["images", "text"]:
    name = trunk.main_input_name
    if name == "pixel_values":
        return "images"
    if name == "input_ids":
        return "text"
    raise AssemblyError(
        f"hf/{source.name}: {trunk.__name__} takes {name!r}, neither images nor text"
    )
