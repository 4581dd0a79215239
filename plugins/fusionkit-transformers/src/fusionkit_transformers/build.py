"""Builds one backbone from the name of a Hugging Face model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fusionkit import AssemblyError, Backbone, ConfigError, OptionError
from fusionkit_transformers.hub import fetch_weights
from fusionkit_transformers.names import FOLDER, is_model_type
from fusionkit_transformers.source import Source, find_source, saved_settings

__all__ = ["build_backbone"]

POOLINGS = {"images": ("pooler", "cls", "mean"), "text": ("pooler", "cls", "mean", "last")}


def build_backbone(
    name: str,
    /,
    *,
    in_channels: int = 3,
    weights: str | None = None,
    num_classes: int | None = None,
    config: Mapping[str, Any] | None = None,
    architecture: str | None = None,
    tower: str | None = None,
    pooling: str | None = None,
    interpolate_pos_encoding: bool = False,
    attn_implementation: str | None = None,
    ignored_keys: Sequence[str] = (),
    trust_remote_code: bool = False,
    tokenizer: str | None = None,
) -> Backbone:
    """Gives a vision model or a text encoder of transformers as a backbone.

    Args:
        name: a repository (``owner/name`` or ``owner/name@revision``), a folder that
            save_pretrained wrote (``local-dir:/path``), or a model type (``vit``), which has no
            weights.
        in_channels: channels of the images. Pretrained first layers are adapted as
            ``fusionkit.adapt_input_channels`` says.
        weights: ``None`` for random parameters, ``"default"`` for those that lie there.
        num_classes: the stock classifier is kept if it has this many classes.
        config: settings of the model to change, such as ``{"hidden_dropout_prob": 0.1}``.
        architecture: the class of transformers, where it is not to be the stock classifier that
            the weights were saved from, else the bare model.
        tower: ``"vision"`` (so by default) or ``"text"`` of a model that has both.
        pooling: where the vector comes from: ``"pooler"``, the model's own; ``"cls"``, the first
            token; ``"mean"`` over patches or over tokens that are no padding; ``"last"``, the
            last token that is no padding. By default the model's own where it is trained.
        interpolate_pos_encoding: whether images of any size are taken, as transformers does it.
        attn_implementation: ``"eager"``, ``"sdpa"`` or another that transformers has.
        ignored_keys: globs over names in the weights that may be left out.
        trust_remote_code: whether Python code that comes with a repository is run.
        tokenizer: of texts, where it does not lie beside the model: a repository or a folder
            (``local-dir:/path``). Code that comes with it is never run.

    Raises:
        OptionError: the model does not take an option.
        ConfigError: there is no such model, or it has no weights.
        CheckpointError: the weights cannot be fetched or do not fit.
        AssemblyError: the model takes neither images nor texts, or not that many channels.
    """
    from fusionkit_transformers.images import build_images
    from fusionkit_transformers.kinds import find_kind
    from fusionkit_transformers.text_backbone import TextBackbone
    from fusionkit_transformers.texts import build_texts
    from fusionkit_transformers.tokens import Tokens, tokenizer_of
    from fusionkit_transformers.trunk import file_keys
    from fusionkit_transformers.wish import Wish

    if weights not in (None, "default"):
        raise ConfigError(
            f"hf/{name} has no weights {weights!r}; write weights='default', None for random "
            "parameters, or a revision in its name: hf/owner/name@revision"
        )
    source = find_source(name, config or {}, trust_remote_code=trust_remote_code)
    if weights is not None:
        _refuse_no_weights(source)
        if source.from_hub and source.folder is not None:
            fetch_weights(name, source.folder)
    kind = find_kind(source, architecture, tower)
    if kind.takes == "text" and in_channels != 3:
        raise AssemblyError(f"hf/{name} takes texts, which have no channels; leave in_channels out")
    if kind.takes == "images" and tokenizer is not None:
        raise OptionError(f"hf/{name} takes images; leave tokenizer out")
    poolings = POOLINGS[kind.takes]
    if pooling is not None and (kind.classifies or kind.gives_maps or pooling not in poolings):
        said = "none, since its own classifier or maps decide" if pooling in poolings else poolings
        raise OptionError(f"hf/{name}: `pooling` is one of {said}, got {pooling!r:.80}")
    if attn_implementation is not None:
        kind.config._attn_implementation = attn_implementation
    wish = Wish(
        source=source,
        kind=kind,
        in_channels=in_channels,
        loads=weights is not None,
        num_classes=num_classes,
        pooling=pooling,
        interpolates=interpolate_pos_encoding,
        ignored_keys=tuple(ignored_keys),
        trusts=trust_remote_code,
        keys=file_keys(source.folder),
    )
    backbone, resolved = (build_images if kind.takes == "images" else build_texts)(wish)
    place = None
    if isinstance(backbone, TextBackbone):
        place = tokenizer_of(source, tokenizer)
        backbone.encode = Tokens(name, place, backbone.max_tokens)
    backbone.weights = name if weights is not None else None
    if weights is not None and not name.startswith(FOLDER):
        backbone.base_model = name.partition("@")[0]
    if not is_model_type(name) and not trust_remote_code:
        options = {
            "config": saved_settings(kind.config),
            "architecture": kind.trunk.__name__,
            "pooling": resolved,
            "interpolate_pos_encoding": interpolate_pos_encoding,
            "attn_implementation": attn_implementation,
            "tokenizer": place,
        }
        written = {key: value for key, value in options.items() if value not in (None, False)}
        backbone.rebuild = (kind.config.model_type, written)
    return backbone


def _refuse_no_weights(source: Source) -> None:
    if source.folder is None:
        raise ConfigError(
            f"hf/{source.name} is a model type, which has no weights; write weights=None for "
            "random parameters, or the name of a repository or folder"
        )
