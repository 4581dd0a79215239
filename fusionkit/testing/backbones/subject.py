"""``BackboneSubject``: a backbone under test, built once and copied for each question."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import nullcontext
from copy import deepcopy
from functools import cached_property, partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from fusionkit.assembly.compose import compose
from fusionkit.assembly.lazy import shape_lazy_layers
from fusionkit.backbone.contract import Backbone
from fusionkit.catalog import Catalog
from fusionkit.errors import DataError
from fusionkit.features import Features, Reads
from fusionkit.model.fused import FusedModel
from fusionkit.model.measure import measure_stages
from fusionkit.recipe.values import Branch, Head
from fusionkit.testing.backbones.offer import Offer
from fusionkit.testing.call import accepted_keywords, call_with, preset
from fusionkit.testing.check import NotApplicableError
from fusionkit.testing.inputs import candidate_sizes, first_of, is_image, moved, resized, varied
from fusionkit.testing.perturb import perturb
from fusionkit.testing.seed import set_seed
from fusionkit.testing.surroundings import put_back

__all__ = [
    "KEYWORDS",
    "BackboneSubject",
    "Reference",
    "StockKeys",
    "first_values",
    "shapes_of",
]

KEYWORDS = ("in_channels", "weights", "num_classes")
CLASSES = 5
USUAL_CLASSES = (CLASSES, 1000)
"""What is tried where nobody says how many classes the provider's own classifier has."""

Reference: TypeAlias = Callable[[Backbone, Any], Features]
"""Gives what the provider's own model, with the parameters and buffers of that backbone's trunk,
makes of an input, in eval mode; fields that it has no answer for are left empty."""

StockKeys: TypeAlias = Collection[str] | Callable[[Backbone], Iterable[str]]


class BackboneSubject:
    """What the checks ask: a factory, and one perturbed backbone that it built.

    Attributes:
        make: the factory.
        accepts: which of ``in_channels``, ``weights`` and ``num_classes`` it takes.
        in_channels: what it is asked for, as long as a check asks for nothing else.
        num_classes: how many classes its own classifier is said to have; ``None`` where nothing is
            said.
        reference: see ``Reference``; ``None`` if there is nothing to compare with.
        on_meta: whether everything is built without data.
        asked: what the factory is called with, as long as a check asks for nothing else.
        stock_keys: the keys of a stock checkpoint, or what gives them for a backbone; ``None``
            where they are not known.
        factories: the provider's backbones by name; ``None`` where they are not known.
        weights: a name of pretrained weights that can be had here; ``None`` where none is known.
        first_shapes: of the tensors of the first that was built.
        undone: what the last build changed for the whole process; it was put back.
        drawn: the first values of each parameter of ``pristine``, as they were when it was built.
        spare: a used backbone of another seed that a check left for the next.
    """

    def __init__(
        self,
        make: Callable[..., Any],
        *,
        in_channels: int = 3,
        num_classes: int | None = None,
        reference: Reference | None = None,
        on_meta: bool = False,
        stock_keys: StockKeys | None = None,
        factories: Mapping[str, Callable[..., Backbone]] | None = None,
        weights: str | None = None,
    ) -> None:
        self.make = make
        self.accepts = accepted_keywords(make, KEYWORDS)
        self.in_channels = in_channels
        self.num_classes = preset(make, "num_classes") if num_classes is None else num_classes
        self.reference = reference
        self.on_meta = on_meta
        self.asked = {"in_channels": in_channels, "weights": None, "num_classes": None}
        self.stock_keys = stock_keys
        self.factories = factories
        self.weights = weights
        self.first_shapes: dict[str, tuple[int, ...]] = {}
        self.undone: tuple[str, ...] = ()
        self.drawn: dict[str, Tensor] = {}
        self.spare: Backbone | None = None

    def require(self, keyword: str) -> None:
        """Leaves a check that needs a keyword which the factory does not take."""
        if keyword not in self.accepts:
            raise NotApplicableError(f"the factory takes no {keyword}")

    def build(self, **changes: Any) -> Any:
        """Gives what the factory builds, as it is: random weights, no classifier, or ``changes``.

        Lazy layers are shaped and missing stages measured, as ``fusionkit.compose`` does.
        """
        return self._call(self.make, changes)

    def build_new_classifier(self, num_classes: int) -> Any:
        """Gives what a factory that takes ``new_classifier`` builds with one of so many classes."""
        return self._call(partial(self.make, new_classifier=True), {"num_classes": num_classes})

    def _call(self, make: Callable[..., Any], changes: Mapping[str, Any]) -> Any:
        device = torch.device("meta") if self.on_meta else nullcontext()
        with put_back() as undone, device:
            built = call_with(make, self.accepts, {**self.asked, **changes})
        self.undone = tuple(undone)
        if isinstance(built, Backbone):
            shape_lazy_layers(built)
            if getattr(built, "stages", ()) == ():
                built.stages = measure_stages(built)
            if not changes:
                self.first_shapes = self.first_shapes or shapes_of(built)
        return built

    def build_without_data(self, **changes: Any) -> Any:
        """Gives what ``build`` does, on the meta device if it can be built there.

        Only its shapes are to be looked at.
        """
        try:
            with torch.device("meta"):
                return self.build(**changes)
        except Exception:  # the real one says whether it was the device's fault
            return self.build(**changes)

    @cached_property
    def pristine(self) -> Backbone:
        """The perturbed backbone that copies are made of; nothing is to be run or changed on it."""
        built = self.build()
        assert isinstance(built, Backbone)
        self.drawn = first_values(built)
        perturb(built)
        built.eval()
        return built

    @cached_property
    def classifying(self) -> Backbone | None:
        """A perturbed backbone with the provider's own classifier, if it can be had."""
        built = self.build_classifying(self.build)
        if built is not None:
            perturb(built)
            built.eval()
        return built

    def build_classifying(self, build: Callable[..., Any]) -> Backbone | None:
        """Gives what ``build`` gives with the provider's own classifier, if it can be had."""
        said = () if self.num_classes is None else (self.num_classes,)
        for count in (*said, *USUAL_CLASSES) if "num_classes" in self.accepts else ():
            built = build(num_classes=count)
            if isinstance(built, Backbone) and built.num_classes is not None:
                return built
        return None

    def copy(self) -> Backbone:
        """Gives a backbone of one's own with the same parameters and buffers, in eval mode."""
        if self._copies_are_sound:
            return deepcopy(self.pristine)
        set_seed(0)
        fresh: Backbone = self.build()
        fresh.load_state_dict(self.pristine.state_dict())
        fresh.eval()
        return fresh

    def copy_classifying(self) -> Backbone:
        """Gives one's own backbone with the provider's classifier, in eval mode.

        Raises:
            NotApplicableError: it has none.
        """
        self.require("num_classes")
        if self.classifying is None:
            raise NotApplicableError(
                "it gives no classifier for 5 or 1000 classes; if it has one for others, say "
                "num_classes="
            )
        if self._copies_are_sound:
            return deepcopy(self.classifying)
        fresh: Backbone = self.build(num_classes=self.classifying.num_classes)
        fresh.load_state_dict(self.classifying.state_dict())
        fresh.eval()
        return fresh

    @cached_property
    def answer(self) -> Features:
        """Vector and all maps of ``example()``, in eval mode; nothing of it is to be changed."""
        return self.run(self.copy(), self.example())

    @cached_property
    def _copies_are_sound(self) -> bool:
        """Whether deep copies are equal and share nothing; a check of its own tells of others."""
        try:
            twin = deepcopy(self.pristine)
        except Exception:  # told by the check of copies; here another way is taken
            return False
        ours = self.pristine.state_dict(keep_vars=True)
        theirs = twin.state_dict(keep_vars=True)
        mine, other = ({id(value) for value in state.values()} for state in (ours, theirs))
        if twin is self.pristine or mine & other or len(mine) != len(other):
            return False
        return ours.keys() == theirs.keys() and all(
            torch.equal(value, theirs[name])
            for name, value in ours.items()
            if isinstance(value, Tensor) and not value.is_meta and value.layout is torch.strided
        )

    @cached_property
    def reads(self) -> Reads:
        """Vector and all maps."""
        levels = self.pristine.levels
        return Reads(vector=True, maps=tuple(range(len(levels))))

    @cached_property
    def takes_images(self) -> bool:
        """Whether inputs are images or clips, whose size can be chosen."""
        return is_image(self.pristine.example(2))

    @cached_property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """The two smallest (height, width) of those tried that it runs at, or the only one.

        Empty for inputs that are no images.
        """
        if not self.takes_images:
            return ()
        example = self.pristine.example(2)
        found: list[tuple[int, int]] = []
        failure: Exception | None = None
        candidates = candidate_sizes(self.pristine, example)
        for size in candidates:
            try:
                self._try(resized(example, size))
            except (
                *(AssertionError, IndexError, RuntimeError, TypeError, ValueError),
                DataError,
            ) as e:
                failure = e
                continue
            found.append(size)
            if len(found) == 2:
                break
        if not found:
            assert failure is not None
            raise failure
        return tuple(found)

    def _try(self, x: Tensor) -> None:
        backbone = self.copy()
        backbone.check_input(x)
        with torch.no_grad():
            backbone(self.place(x), self.reads)

    def place(self, x: Any) -> Any:
        """Gives an input where the backbone is."""
        if not self.on_meta:
            return x
        return moved(x, "meta")

    def example(self, batch: int = 2, seed: int = 0, size: tuple[int, int] | None = None) -> Any:
        """Gives an input as small as the backbone takes.

        Args:
            batch: how many samples.
            seed: another gives other content.
            size: height and width instead of the smallest, for images.
        """
        example = self.pristine.example(batch)
        if self.takes_images:
            example = resized(example, size or self.sizes[0], seed=seed)
        else:
            example = first_of(varied(example, seed), batch)
        return self.place(example)

    def run(self, backbone: Backbone, x: Any, reads: Reads | None = None) -> Features:
        """Gives what a backbone makes of an input, without gradients, in the mode it is in."""
        with torch.no_grad():
            features: Features = backbone(x, self.reads if reads is None else reads)
        return features

    def compose(
        self,
        head: str = "linear",
        *,
        branches: tuple[str, ...] = ("a",),
        num_classes: int = CLASSES,
        **branch: Any,
    ) -> FusedModel:
        """Gives a fused model of perturbed copies of the backbone, each a branch.

        Args:
            head: ``"linear"`` reads vectors, ``"pooled"`` the maps of all levels.
            branches: their names.
            num_classes: how wide the answer is.
            branch: arguments of ``fusionkit.Branch``: policies, ``input``.
        """
        written = Branch("subject/it", weights=None, in_channels=self.in_channels, **branch)
        set_seed(0)
        model = compose(
            dict.fromkeys(branches, written),
            Head(f"subject/{head}"),
            num_classes,
            catalog=self.catalog,
        )
        perturb(model.head)
        return model

    @property
    def catalog(self) -> Catalog:
        """A catalog that offers copies of the backbone as ``subject/it``, and two plain heads."""
        return Catalog().with_plugin("subject", Offer(self.copy))


def first_values(module: nn.Module) -> dict[str, Tensor]:
    """Gives a few values of each parameter."""
    return {name: value.detach().flatten()[:4].clone() for name, value in module.named_parameters()}


def shapes_of(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Gives the shape of each tensor that a state dict holds."""
    state = module.state_dict().items()
    return {name: tuple(value.shape) for name, value in state if isinstance(value, Tensor)}
