"""``Branch``, ``Head`` and ``Recipe``: the whole model as values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from keyword import iskeyword
from os import PathLike, fspath
from typing import Any, Literal

from torch import nn

from fusionkit.errors import ConfigError
from fusionkit.numbers import is_count, is_number
from fusionkit.policy.freeze import Freeze
from fusionkit.policy.lr import LR
from fusionkit.preprocessing import Preprocessing
from fusionkit.recipe.plain import copy_plain
from fusionkit.recipe.weights import Weights, is_source

__all__ = ["Branch", "Head", "Recipe"]

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
RESERVED = frozenset({"head", "branches"})
EMPTY = nn.ModuleDict()
"""What it has by itself, libraries' additions among it, it takes no module under."""
MAX_OPTIONS_DEPTH = 24
MAX_OPTIONS_LENGTH = 100_000


@dataclass(frozen=True, slots=True)
class Branch:
    """One backbone of the model, and how it is fed, frozen and trained.

    Attributes:
        backbone: ``provider/model``, for example ``timm/resnet18`` or ``torchvision/vit_b_16``.
        weights: ``"default"`` for what the provider recommends, a tag of the provider's, a path
            or name on the hub as ``Weights.source`` takes it, a whole ``Weights``, or ``None``
            for random initialisation.
        input: the name of the input that it reads; branches may share one.
        in_channels: channels of that input; pretrained first layers are adapted.
        classifier: ``True`` keeps the provider's own classifier, so that the branch has
            logits; with weights of one's own it is made for ``num_classes`` classes, as in a
            fine-tuned checkpoint. ``False`` drops it; ``None`` keeps it exactly when the head
            reads logits and the weights have one of ``num_classes`` classes.
        freeze: what is frozen, and until when.
        lr: how fast it learns.
        preprocessing: takes the place of how the weights say their inputs were prepared, as a
            whole: what it leaves out is at ``Preprocessing``'s defaults, not the weights'.
        branch_dropout: how often, in [0, 1), a training sample loses this whole branch, so that
            the model answers well when its input is absent (arXiv:1501.00102). Which samples
            go through the head together is then drawn, so that ``torch.compile`` cuts its graph
            there in training; leave ``fullgraph=True`` out.
        options: further options of the provider's factory.
    """

    backbone: str
    _: KW_ONLY
    weights: str | PathLike[str] | Weights | None = "default"
    input: str = "image"
    in_channels: int = 3
    classifier: bool | None = None
    freeze: Freeze = field(default_factory=Freeze.none)
    lr: LR = field(default_factory=LR)
    preprocessing: Preprocessing | None = None
    branch_dropout: float = 0.0
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_type("Branch.backbone", self.backbone, str)
        provider, _, model = self.backbone.partition("/")
        if not provider or not model or not _is_one_line(self.backbone):
            raise ConfigError(
                "a backbone's name is 'provider/model', for example 'timm/resnet18'; "
                f"got {self.backbone!r:.200}"
            )
        object.__setattr__(self, "weights", _check_weights(self.weights))
        check_name("input", self.input)
        if not is_count(self.in_channels):
            raise ConfigError(
                "Branch.in_channels must be a whole number, at least 1, got "
                f"{self.in_channels!r:.80}"
            )
        if self.classifier is not None and not isinstance(self.classifier, bool):
            raise ConfigError(
                f"Branch.classifier is True, False or None, got {self.classifier!r:.80}"
            )
        for name, kind, example in (("freeze", Freeze, "Freeze.all()"), ("lr", LR, "LR(0.1)")):
            if not isinstance(getattr(self, name), kind):
                raise ConfigError(
                    f"Branch.{name} must be a {kind.__name__}, for example {example}; "
                    f"got {getattr(self, name)!r:.200}"
                )
        if self.preprocessing is not None:
            _check_type("Branch.preprocessing", self.preprocessing, Preprocessing)
        if not is_number(self.branch_dropout) or not 0 <= self.branch_dropout < 1:
            raise ConfigError(
                "Branch.branch_dropout is a share from 0 up to but not including 1, got "
                f"{self.branch_dropout!r:.80}"
            )
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
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "options", options)
        self.__post_init__()

    def __post_init__(self) -> None:
        _check_type("Head name", self.name, str)
        if not self.name or not _is_one_line(self.name):
            raise ConfigError(
                f"a head's name is for example 'concat', as in 'fusionkit list --kind head'; "
                f"got {self.name!r:.200}"
            )
        object.__setattr__(self, "options", _options("Head", self.options))

    def __repr__(self) -> str:
        plain = {k: v for k, v in self.options.items() if _is_keyword_argument(k)}
        others = {k: v for k, v in self.options.items() if k not in plain}
        options = "".join(f", {key}={value!r}" for key, value in plain.items())
        return f"Head({self.name!r}{options}{f', **{others!r}' if others else ''})"


@dataclass(frozen=True, slots=True)
class Recipe:
    """The whole model: branches by name, a head, and what it answers.

    Attributes:
        branches: at least one, by name; a name is a letter, then letters, digits, underscores.
        head: what joins them.
        num_classes: how many classes the model tells apart; ``None`` where the data will say, and
            then it has to be filled in before the recipe is composed.
        classes: their names, in the order of the answers, which also say how many there are; empty
            where nobody said.
        preprocess: ``"outside"``, the caller prepares each branch's input; or ``"inside"``, the
            model is given raw images, uint8 or in [0, 1], and prepares them for each branch.
    """

    branches: Mapping[str, Branch]
    head: Head
    num_classes: int | None = None
    preprocess: Literal["outside", "inside"] = "outside"
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.branches, Mapping) or not self.branches:
            raise ConfigError(
                "a model needs a mapping of at least one branch by name, compose({'name': "
                f"Branch('provider/model')}}, head=...); got {self.branches!r:.80}"
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
        head: object = self.head
        if not isinstance(head, Head):
            advice = f"; write Head({head!r:.80})" if isinstance(head, str) else ""
            raise ConfigError(
                f"the head must be a fusionkit.Head, got {type(head).__name__}{advice}"
            )
        if self.num_classes is not None and not is_count(self.num_classes):
            raise ConfigError(
                "num_classes must be a whole number, at least 1: how many classes the model tells "
                f"apart; got {self.num_classes!r:.80}"
            )
        object.__setattr__(self, "classes", _check_classes(self.classes, self.num_classes))
        if self.classes:
            object.__setattr__(self, "num_classes", len(self.classes))
        if self.preprocess not in ("outside", "inside"):
            raise ConfigError(f"preprocess is 'outside' or 'inside', got {self.preprocess!r}")


def _check_classes(classes: object, count: int | None) -> tuple[str, ...]:
    if not isinstance(classes, (list, tuple)) or not all(
        isinstance(name, str) and name and _is_one_line(name) for name in classes
    ):
        raise ConfigError(f"classes is a list of names, one line each, got {classes!r:.80}")
    if len(set(classes)) != len(classes):
        twice = next(name for name in classes if classes.count(name) > 1)
        raise ConfigError(f"classes has the name {twice!r:.80} twice")
    if classes and count not in (None, len(classes)):
        raise ConfigError(
            f"classes has {len(classes)} names, but num_classes is {count}; write one for each"
        )
    return tuple(classes)


def _check_weights(given: object) -> str | Weights | None:
    weights = given
    if isinstance(given, PathLike):  # a path, and no tag, also without a folder
        weights = fspath(given)
        weights = weights if is_source(weights) else f"./{weights}"
    if weights is None or isinstance(weights, Weights):
        return weights
    if not isinstance(weights, str) or not weights or not _is_one_line(weights):
        raise ConfigError(
            f"Branch.weights is 'default', a tag, a path or a fusionkit.Weights, got "
            f"{weights!r:.200}; write None for random initialisation"
        )
    if weights.lower() in ("none", "null"):
        raise ConfigError(
            f"Branch.weights is the text {weights!r}; for random initialisation write null "
            "in YAML and JSON, None in Python"
        )
    return weights


def check_name(kind: Literal["branch", "input"], name: object) -> None:
    """Refuses a branch or input name that torch or a file could trip over."""
    article = "an" if kind == "input" else "a"
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r:.80} cannot be the name of {article} {kind}: a name is a letter, "
            "then up to 63 letters, digits or underscores"
        )
    # A Python keyword in a module's path makes torch.export write code that does not parse.
    if kind == "branch" and (name in RESERVED or hasattr(EMPTY, name) or iskeyword(name)):
        raise ConfigError(
            f"{name!r} cannot be the name of a branch: it is reserved; "
            f"write for example {name + '_branch'!r}"
        )


def _options(owner: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Gives a copy of its own, after making sure that a file can hold it."""
    _check_type(f"{owner} options", options, Mapping)
    copy: dict[str, Any] = copy_plain(options, f"{owner} options", MAX_OPTIONS_DEPTH)
    length = len(json.dumps(copy))
    if length > MAX_OPTIONS_LENGTH:
        raise ConfigError(
            f"{owner} options are {length:,} characters as JSON, more than the "
            f"{MAX_OPTIONS_LENGTH:,} allowed; give large data as a file's path"
        )
    return copy


def _is_one_line(text: str) -> bool:
    return text.isprintable() and text == text.strip()


def _is_keyword_argument(key: str) -> bool:
    # Python writes identifiers beyond ASCII another way than it was given them.
    return key.isascii() and key.isidentifier() and not iskeyword(key)


def _check_type(what: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        raise ConfigError(f"{what} must be a {kind.__name__}, got {value!r:.200}")
