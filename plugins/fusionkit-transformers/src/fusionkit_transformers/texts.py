"""Builds a text encoder and finds out what a backbone declares of it."""

from __future__ import annotations

import re

import torch
from torch import nn

from fusionkit import Backbone, OptionError
from fusionkit_transformers.layers import find_sections
from fusionkit_transformers.text_backbone import TextBackbone, pool_tokens, text_inputs
from fusionkit_transformers.trace import Trace, trace_run
from fusionkit_transformers.trunk import takes_pooler
from fusionkit_transformers.wish import Wish, build_trunk, declare, run_first, still_unread

__all__ = ["build_texts"]


def build_texts(wish: Wish) -> tuple[Backbone, str | None]:
    """Gives a backbone of texts, and the pooling to write down for the next time."""
    if wish.interpolates:
        raise OptionError(f"hf/{wish.source.name} takes texts; leave interpolate_pos_encoding out")
    trunk = build_trunk(wish, pooler=wish.pooling == "pooler")
    module = trunk.module
    inputs = {"input_ids": torch.zeros(1, 6, dtype=torch.long)}

    def run() -> Trace:
        return trace_run(module, lambda each: module(**text_inputs(each)), inputs)

    trace = run_first(wish, run)
    pooling = _pooling(wish, trace)
    vector = pool_tokens(trace.output, pooling, None)
    still_unread(module, trace, (vector,))
    backbone = TextBackbone(
        module,
        embed_dim=vector.shape[1] - (trunk.num_classes or 0),
        pooling=pooling,
        vocabulary=wish.kind.config.vocab_size,
        max_tokens=_max_tokens(module),
    )
    declare(wish, backbone, trunk, trace, find_sections(module, trace))
    return backbone, None if pooling == "classifier" else pooling


def _pooling(wish: Wish, trace: Trace) -> str:
    if wish.kind.classifies:
        return "classifier"
    has_pooler = getattr(trace.output, "pooler_output", None) is not None
    if wish.pooling is None:
        # what can be left out is not trained, but for the pooled output of towers
        return "pooler" if has_pooler and not takes_pooler(wish.kind) else "mean"
    if wish.pooling == "pooler" and not has_pooler:
        raise OptionError(f"hf/{wish.source.name} has no pooler; write pooling='mean' or 'cls'")
    return wish.pooling


def _max_tokens(trunk: nn.Module) -> int | None:
    """Gives how many positions a model has an embedding for."""
    for path, module in trunk.named_modules():
        leaf = path.rpartition(".")[2]
        if isinstance(module, nn.Embedding) and re.fullmatch(r"position_embeddings?|wpe", leaf):
            padding = module.padding_idx
            return module.num_embeddings - (0 if padding is None else padding + 1)
    return None
