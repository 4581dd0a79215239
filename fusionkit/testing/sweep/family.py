"""What a model is counted under: the module of the provider's library that defines it."""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["family_of"]


def family_of(model: str) -> str:
    """Gives a model's family, without building it.

    Args:
        model: ``provider/name``.
    """
    provider, _, name = model.partition("/")
    return _RULES.get(provider, _first_word)(name)


def _timm_module(name: str) -> str:
    from timm.models import model_entrypoint

    return str(model_entrypoint(name).__module__).rpartition(".")[2]


def _torchvision_module(name: str) -> str:
    from torchvision.models import get_model_builder

    module: str = get_model_builder(name).__module__
    return module.removeprefix("torchvision.models.")


def _first_word(name: str) -> str:
    name = name.rpartition("/")[2]
    found = re.match(r"[A-Za-z]+", name)
    return found[0].lower() if found else name


_RULES: dict[str, Callable[[str], str]] = {
    "timm": _timm_module,
    "torchvision": _torchvision_module,
}
