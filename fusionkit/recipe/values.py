"""``Branch``, ``Head`` and ``Recipe``: the whole model as values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import KW_ONLY, dataclass, field
from os import PathLike, fspath
from typing import Any, Literal

from torch import nn

from fusionkit.errors import ConfigError
from fusionkit.policy.freeze import Freeze
from fusionkit.policy.lr import LR
from fusionkit.preprocessing import Preprocessing

__all__ = ["Branch", "Head", "Recipe"]

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
RESERVED = frozenset(dir(nn.ModuleDict())) | {"head", "branches"}


@dataclass(frozen=True, slots=True)
class Branch:
    """One backbone of the model, and how it is fed, frozen and trained.

    Attributes:
        backbone: ``provider/model``, for example ``timm/resnet18`` or ``torchvision/vit_b_16``.
        weights: ``"default"`` for what the provider recommends, a tag of the provider's, the
            path of a safetensors file, or ``None`` for random initialisation.
        input: the name of the input that it reads; branches may share one.
        in_channels: channels of that input; pretrained first layers are adapted.
        classifier: ``True`` keeps the provider's own classifier, so that the branch has
            logits; ``False`` drops it; ``None`` keeps it exactly when the head reads logits and
            it has ``num_classes`` classes.
        freeze: what is frozen, and until when.
        lr: how fast it learns.
        preprocessing: overrides how the weights say their inputs were prepared.
        options: further options of the provider's factory.
    """

    backbone: str
    _: KW_ONLY
    weights: str | PathLike[str] | None = "default"
    input: str = "image"
    in_channels: int = 3
    classifier: bool | None = None
    freeze: Freeze = field(default_factory=Freeze.none)
    lr: LR = field(default_factory=LR)
    preprocessing: Preprocessing | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_type("Branch.backbone", self.backbone, str)
        provider, _, model = self.backbone.partition("/")
        if not provider or not model:
            raise ConfigError(
                f"a backbone's name is 'provider/model', for example 'timm/resnet18'; "
                f"got {self.backbone!r}"
            )
        if isinstance(self.weights, PathLike):
            object.__setattr__(self, "weights", fspath(self.weights))
        if self.weights is not None:
            _check_type("Branch.weights", self.weights, str)
            if not self.weights:
                raise ConfigError("Branch.weights is empty; write None for random initialisation")
        check_name("input", self.input)
        if not isinstance(self.in_channels, int) or self.in_channels < 1:
            raise ConfigError(f"Branch.in_channels must be at least 1, got {self.in_channels!r}")
        _check_type("Branch.freeze", self.freeze, Freeze)
        _check_type("Branch.lr", self.lr, LR)
        if self.preprocessing is not None:
            _check_type("Branch.preprocessing", self.preprocessing, Preprocessing)
        object.__setattr__(self, "options", _options("Branch", self.options))


@dataclass(frozen=True, slots=True, init=False)
class Head:
    """The fusion head by name, with its options: ``Head("concat", hidden=512)``.

    Attributes:
        name: as ``fusionkit list --kind head`` shows it.
        options: passed to the head's factory, which refuses those that it does not know.
    """

    name: str
    options: Mapping[str, Any]

    def __init__(self, name: str, /, **options: Any) -> None:
        _check_type("Head name", name, str)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "options", _options("Head", options))

    def __repr__(self) -> str:
        options = "".join(f", {key}={value!r}" for key, value in self.options.items())
        return f"Head({self.name!r}{options})"


@dataclass(frozen=True, slots=True)
class Recipe:
    """The whole model: branches by name, a head, and what it answers.

    Attributes:
        branches: at least one, by name; a name is a letter, then letters, digits, underscores.
        head: what joins them.
        num_classes: how many classes the model tells apart; ``None`` takes it from branches that
            keep their classifier.
        preprocess: ``"outside"``, the caller prepares each branch's input; or ``"inside"``, the
            model is given raw images, uint8 or in [0, 1], and prepares them for each branch.
    """

    branches: Mapping[str, Branch]
    head: Head
    num_classes: int | None = None
    preprocess: Literal["outside", "inside"] = "outside"

    def __post_init__(self) -> None:
        if not isinstance(self.branches, Mapping) or not self.branches:
            raise ConfigError(
                "a model needs at least one branch: compose({'name': Branch('provider/model')}, "
                "head=...)"
            )
        for name, branch in self.branches.items():
            check_name("branch", name)
            if not isinstance(branch, Branch):
                raise ConfigError(
                    f"branch {name!r} must be a fusionkit.Branch, got {type(branch).__name__}; "
                    f"write Branch({branch!r})"
                    if isinstance(branch, str)
                    else f"branch {name!r} must be a fusionkit.Branch, got {type(branch).__name__}"
                )
        for name, branch in self.branches.items():
            if branch.input in self.branches and branch.input != name:
                raise ConfigError(
                    f"branch {name!r} reads the input {branch.input!r}, which is the name of "
                    "another branch; rename one of them, since inputs can be given by either"
                )
        object.__setattr__(self, "branches", dict(self.branches))
        _check_type("Recipe.head", self.head, Head)
        if self.num_classes is not None and (
            not isinstance(self.num_classes, int)
            or isinstance(self.num_classes, bool)
            or self.num_classes < 1
        ):
            raise ConfigError(f"num_classes must be at least 1, got {self.num_classes!r}")
        if self.preprocess not in ("outside", "inside"):
            raise ConfigError(f"preprocess is 'outside' or 'inside', got {self.preprocess!r}")


def check_name(kind: str, name: object) -> None:
    """Refuses a branch or input name that torch or a file could trip over."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot be the name of a {kind}: a name is a letter, then up to 63 "
            "letters, digits or underscores"
        )
    if kind == "branch" and name in RESERVED:
        raise ConfigError(
            f"{name!r} cannot be the name of a branch: it is reserved; "
            f"write for example {name + '_branch'!r}"
        )


def _options(owner: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Gives a copy of its own, after making sure that a file can hold it."""
    _check_type(f"{owner} options", options, Mapping)
    try:
        json.dumps(options, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{owner} options must be values that JSON can hold (numbers, strings, booleans, "
            f"lists, mappings): {error}"
        ) from error
    return deepcopy(dict(options))


def _check_type(what: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        raise ConfigError(f"{what} must be a {kind.__name__}, got {value!r}")
