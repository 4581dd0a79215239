"""The answer to the question that fusionkit asks for backbones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import fusionkit as fk
from fusionkit_transformers.names import WELL_KNOWN, is_known

__all__ = ["HuggingFaceModels", "fusionkit_backbones"]


class HuggingFaceModels(Mapping[str, Any]):
    """Hugging Face models by name, listed and looked up without a network.

    Listed are some well-known repositories. Found are also any other (``owner/name`` or
    ``owner/name@revision``), folders (``local-dir:/path``) and the model types of transformers
    (``vit``), which have no weights.
    """

    def __iter__(self) -> Iterator[str]:
        return iter(WELL_KNOWN)

    def __len__(self) -> int:
        return len(WELL_KNOWN)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and is_known(name)

    def __getitem__(self, name: str) -> Any:
        from fusionkit_transformers.build import build_backbone

        if name not in self:
            raise KeyError(name)
        return partial(build_backbone, name)


@fk.hookimpl
def fusionkit_backbones() -> Mapping[str, Any]:
    """Gives the backbones by name; in a recipe one is ``hf/facebook/dinov2-small``."""
    return HuggingFaceModels()
