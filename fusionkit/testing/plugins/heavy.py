"""Which modules a plugin must not import before they are needed."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

__all__ = ["heavy_modules"]

HEAVY = (
    *("timm", "torchvision", "torchaudio", "transformers", "diffusers", "accelerate"),
    *("lightning", "pytorch_lightning", "sklearn", "scipy", "pandas", "matplotlib", "cv2"),
    *("tensorflow", "jax", "onnx", "onnxruntime"),
)
OWN = "torch-fusionkit"
ALWAYS_THERE = {OWN, "torch", "numpy"}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def heavy_modules(distribution: str) -> frozenset[str]:
    """Gives top-level modules: known heavy ones, and those of the distribution's dependencies.

    What fusionkit itself needs is there anyway, but for its providers' libraries.
    """
    declared = _dependencies(distribution) - ALWAYS_THERE
    declared -= _dependencies(OWN) - {"timm", "torchvision"}
    homes: dict[str, set[str]] = {}
    for module, distributions in packages_distributions().items():
        for each in distributions:
            homes.setdefault(_normalize(each), set()).add(module)
    modules = {module for each in declared for module in homes.get(each, {each.replace("-", "_")})}
    return frozenset(HEAVY) | modules


def _dependencies(distribution: str) -> set[str]:
    try:
        lines = requires(distribution) or []
    except PackageNotFoundError:
        return set()
    found = (NAME.match(line) for line in lines)
    return {_normalize(match[0]) for match in found if match is not None}


def _normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
