"""What a result depends on, by distribution."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires, version

from fusionkit import __version__
from fusionkit.catalog import Catalog

__all__ = ["versions_of"]

LIBRARIES = {"timm": ("timm", "torchvision"), "torchvision": ("torchvision",)}
"""Of fusionkit's own providers, which need not all that fusionkit needs."""


def versions_of(provider: str, catalog: Catalog) -> dict[str, str]:
    """Gives the versions of fusionkit, torch, and what a provider's models come from."""
    found = {"torch-fusionkit": __version__}
    named = ("torch", *(LIBRARIES.get(provider) or _needed_by(provider, catalog)))
    for name in named:
        try:
            found[name] = version(name).partition("+")[0]
        except PackageNotFoundError:  # it is needed elsewhere only, as a marker says
            continue
    return dict(sorted(found.items()))


def _needed_by(provider: str, catalog: Catalog) -> tuple[str, ...]:
    """Gives the distribution of a plugin, and what it says that it needs."""
    records = {record.name: record for record in catalog.plugins()}
    distribution = records[provider].distribution if provider in records else None
    if distribution is None:
        return ()
    words = (re.match(r"[\w.-]+", text) for text in requires(distribution) or ())
    names = (word[0].lower() for word in words if word is not None)
    return (distribution, *(name for name in names if name != "torch-fusionkit"))
