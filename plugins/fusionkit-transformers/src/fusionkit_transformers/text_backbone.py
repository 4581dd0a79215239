"""``TextBackbone``: a text encoder of transformers as a backbone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fusionkit import AssemblyError, Backbone, DataError, Features, Reads, did_you_mean

__all__ = ["TextBackbone", "pool_tokens", "text_inputs"]

IDS = "input_ids"
MASK = "attention_mask"
KNOWN = (IDS, MASK, "token_type_ids")


class TextBackbone(Backbone):
    """A text encoder of transformers, with its own parameter names, that yields a vector.

    It takes a mapping as a tokenizer gives it: ``input_ids`` "b n", whole numbers below the size
    of the vocabulary, and, where texts are of unlike length, ``attention_mask`` "b n", 1 for
    tokens and 0 for padding. It has no maps.

    Attributes:
        trunk: transformers' model as it is.
        max_tokens: the longest text that it takes, in tokens; ``None`` for any.
    """

    trunk_path: ClassVar[str] = "trunk"
    takes_images = False

    def __init__(
        self,
        trunk: nn.Module,
        *,
        embed_dim: int,
        pooling: str,
        vocabulary: int,
        max_tokens: int | None,
    ) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.max_tokens = max_tokens
        self._pooling = pooling
        self._vocabulary = vocabulary
        self.trunk = trunk

    def forward(self, x: Mapping[str, Tensor], reads: Reads) -> Features:
        """Gives "b d" from texts, and the logits of the stock classifier if they are read."""
        if reads.logits and self.num_classes is None:
            raise AssemblyError("the stock classifier was dropped, so there are no logits to read")
        if not (reads.vector or reads.logits):
            return Features()
        output = self.trunk(**text_inputs(x))
        vector = pool_tokens(output, self._pooling, x.get(MASK))
        logits = None
        if self.num_classes is not None:
            logits = vector[:, self.embed_dim :] if reads.logits else None
            vector = vector[:, : self.embed_dim]
        return Features(vector if reads.vector else None, (), logits)

    def check_input(self, x: Any) -> None:
        """Refuses all but a mapping of ``input_ids`` and its companions, all "b n".

        Raises:
            DataError: says what was expected and what came.
        """
        if not isinstance(x, Mapping):
            raise DataError(
                f"takes a mapping of tensors with {IDS!r} 'b n', as a tokenizer gives it with "
                f"return_tensors='pt', got {type(x).__name__}"
            )
        if IDS not in x:
            raise DataError(
                f"takes a mapping with {IDS!r}, got {', '.join(map(repr, x)) or 'none'}"
            )
        for name, value in x.items():
            if name not in KNOWN:
                raise DataError(f"takes no {name!r}.{did_you_mean(str(name), KNOWN)}")
            if not isinstance(value, Tensor):
                raise DataError(f"takes a tensor 'b n' as {name!r}, got {type(value).__name__}")
            if value.ndim != 2 or value.shape != x[IDS].shape or not value.shape[1]:
                raise DataError(
                    f"takes {name!r} 'b n' of the shape of {IDS!r}, got {tuple(value.shape)}"
                )
        if x[IDS].is_floating_point() or x[IDS].dtype == torch.bool:
            raise DataError(f"takes {IDS!r} as whole numbers (int64), got {x[IDS].dtype}")
        length = x[IDS].shape[1]
        if self.max_tokens is not None and length > self.max_tokens:
            raise DataError(
                f"takes texts of up to {self.max_tokens} tokens, got {length}; let the tokenizer "
                "truncate them"
            )

    def example(self, batch: int = 2) -> dict[str, Tensor]:
        """Gives texts that the trunk takes, the same at each call, on the CPU.

        The second is shorter than the first.
        """
        length = min(8, self.max_tokens or 8)
        generator = torch.Generator().manual_seed(0)
        ids = torch.randint(self._vocabulary, (batch, length), generator=generator)
        mask = torch.ones(batch, length, dtype=torch.long)
        mask[1::2, -(length // 3) :] = 0 if length >= 3 else 1
        return {IDS: ids, MASK: mask}


def text_inputs(x: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gives the arguments of a model for texts."""
    # A mask on the meta device has no values, and models look at them.
    return {name: value.long() for name, value in x.items() if not (name == MASK and value.is_meta)}


def pool_tokens(output: Any, pooling: str, mask: Tensor | None) -> Tensor:
    """Gives "b d" of what a model gave.

    Args:
        output: of the model.
        pooling: ``"classifier"`` for what stands where logits stood, ``"pooler"``, ``"cls"`` for
            the first token, ``"last"`` for the last one that is no padding, ``"mean"`` of these.
        mask: "b n", 1 for tokens and 0 for padding.
    """
    if pooling == "classifier":
        logits: Tensor = output.logits
        return logits
    if pooling == "pooler":
        pooled: Tensor = output.pooler_output
        return pooled
    hidden: Tensor = output.last_hidden_state
    if pooling == "cls":
        return hidden[:, 0]
    if mask is None:
        return hidden[:, -1] if pooling == "last" else hidden.mean(1)
    if pooling == "last":
        last = torch.arange(mask.shape[1], device=mask.device).mul(mask != 0).argmax(1)
        return hidden[torch.arange(len(hidden), device=hidden.device), last]
    weight = (mask != 0).to(hidden.dtype).unsqueeze(-1)
    return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)
