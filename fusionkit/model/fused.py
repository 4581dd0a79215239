"""``FusedModel``: branches and a head as one ordinary module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import Self

from fusionkit.backbone.contract import Backbone
from fusionkit.errors import AssemblyError, DataError, PolicyError
from fusionkit.features import Features, Reads
from fusionkit.head import FusionHead
from fusionkit.model.anatomy import trunk_of
from fusionkit.model.groups import build_groups, group_stages
from fusionkit.model.modes import apply_modes
from fusionkit.model.part import Part
from fusionkit.model.prepare import Prepare
from fusionkit.model.routing import check_features, route
from fusionkit.model.schedule import PolicyScheduler, Shape, build_scheduler
from fusionkit.model.summary import Summary, summarize
from fusionkit.recipe.values import Recipe

__all__ = ["FusedModel"]

EMBED = Reads(vector=True)
CRASHES = (AssertionError, IndexError, RuntimeError, TypeError, ValueError)


@final
class FusedModel(nn.Module):
    """Any number of backbones and a fusion head, with a policy for each; made by ``compose``.

    An ordinary module: plain PyTorch trains it, ``torch.compile`` and ``torch.export`` take it.
    What the policies freeze stays still whatever is called: ``train()`` keeps frozen parts in
    eval mode, and their parameters have neither ``requires_grad`` nor a gradient.

    Attributes:
        recipe: what it was composed from.
        branches: the backbones by name, in alphabetical order.
        head: the fusion head.
        parts: what the policies know of each branch.
        epoch: the last that was set; decides what gradual policies have thawed.
        provenance: for each branch and ``"head"``, the distribution and version it came from.
    """

    def __init__(
        self,
        recipe: Recipe,
        backbones: Mapping[str, Backbone],
        head: FusionHead,
        parts: Mapping[str, Part],
        provenance: Mapping[str, str],
    ) -> None:
        super().__init__()
        self.recipe = recipe
        self.branches = nn.ModuleDict(dict(backbones))
        self.head = head
        self.parts = dict(parts)
        self.provenance = dict(provenance)
        self.epoch = 0
        self.prepare = nn.ModuleDict()
        if recipe.preprocess == "inside":
            for name, backbone in backbones.items():
                self.prepare[name] = Prepare(_preprocessing(name, backbone))
        self._sources = {name: part.branch.input for name, part in self.parts.items()}
        self._widths = {
            name: tuple(backbone.levels[level].channels for level in self.parts[name].reads.levels)
            for name, backbone in backbones.items()
        }
        self._still: dict[str, tuple[nn.Module, ...]] = {}
        _refuse_sharing(backbones, head)
        self.set_epoch(0)

    def forward(self, inputs: Any) -> Tensor:
        """Gives the head's answer, "b k".

        Args:
            inputs: one input, where all branches read the same; else a mapping by input name.
                With ``preprocess="inside"`` raw images "b c h w", uint8 or in [0, 1].

        Raises:
            DataError: an input is missing, too much, or of a shape that its branch cannot take.
        """
        fused: Tensor = self.head(self.features(inputs))
        return fused

    def features(self, inputs: Any) -> dict[str, Features]:
        """Gives what the head reads of each branch, by branch."""
        routed = route(inputs, self._sources)
        return {name: self._run(name, x, self.parts[name].reads) for name, x in routed.items()}

    def embed(self, inputs: Any) -> dict[str, Tensor]:
        """Gives the pooled embedding "b d" of each branch, by branch, whatever the head reads."""
        embedded = {}
        for name, x in route(inputs, self._sources).items():
            vector = self._run(name, x, EMBED).vector
            assert vector is not None
            embedded[name] = vector
        return embedded

    def train(self, mode: bool = True) -> Self:
        """Puts what learns into train mode and keeps what is frozen in eval mode."""
        super().train(mode)
        self._still = {}
        if mode:
            for name, part in self.parts.items():
                trunk = self._trunk(name)
                learning = part.learning(self.epoch)
                if not learning:
                    self.branches[name].train(False)
                self._still[name] = apply_modes(trunk, part.anatomy, learning, part.branch.freeze)
        return self

    def set_epoch(self, epoch: int) -> Self:
        """Freezes and thaws what the policies say for ``epoch``, counted from 0.

        Call it between steps, for example at the start of each epoch. The optimizer needs no
        change: parameters that freeze lose their gradient, so that it skips them.
        """
        if not isinstance(epoch, int) or isinstance(epoch, bool) or epoch < 0:
            raise PolicyError(f"set_epoch takes the epoch, counted from 0, got {epoch!r}")
        for name, part in self.parts.items():
            try:
                learning = part.learning(epoch)
            except PolicyError as error:
                raise PolicyError(f"branch {name!r}: {error}") from error
            for path, parameter in self._trunk(name).named_parameters():
                learns = path in learning
                if parameter.requires_grad != learns:
                    parameter.requires_grad_(learns)
                if not learns:
                    parameter.grad = None
        self.epoch = epoch
        return self.train(self.training)

    def param_groups(self, lr: float, weight_decay: float = 0.0) -> list[dict[str, Any]]:
        """Gives every parameter in exactly one group, for any torch optimizer.

        Groups are named ``branch/stage/decay`` or ``branch/stage/no_decay`` (norms, biases and
        what the backbone says), and ``head/...``. Frozen parameters are in their groups from the
        start; without a gradient an optimizer skips them, so that thawing changes no group.

        Args:
            lr: the base rate, which the head has; each branch's is a multiple by its ``LR``.
            weight_decay: of the groups that decay, where the branch's ``LR`` gives none.
        """
        backbones = {name: self._backbone(name) for name in self.parts}
        return build_groups(
            self, backbones, self.parts, self.head, lr=lr, weight_decay=weight_decay
        )

    def group_stages(self) -> dict[str, tuple[str, int]]:
        """Gives branch and stage index by the name of each group that belongs to a branch."""
        return group_stages(self.parts)

    def lr_scheduler(
        self,
        optimizer: Optimizer,
        shape: str | Shape = "cosine",
        *,
        total_steps: int | None = None,
        steps_per_epoch: int | None = None,
        **options: Any,
    ) -> PolicyScheduler:
        """Gives an ordinary torch scheduler that keeps the ratios between the groups' rates.

        Args:
            optimizer: built from ``param_groups``.
            shape: ``"constant"``, ``"linear"``, ``"step"``, ``"multistep"``, ``"exponential"``,
                ``"polynomial"``, ``"cosine"``, ``"cosine_restarts"``, ``"one_cycle"``,
                ``"cyclic"``, ``"plateau"``, or any class of ``torch.optim.lr_scheduler``.
            total_steps: how often ``step()`` will be called, for shapes that need to know.
            steps_per_epoch: calls of ``step()`` per epoch, so that a warm-up after a thaw rises
                with each step; without it, it rises with each ``set_epoch``.
            options: the torch class's own; rates among them (``max_lr``, ``eta_min``) are
                multiples of each group's rate.
        """
        return build_scheduler(
            self,
            optimizer,
            shape,
            total_steps=total_steps,
            steps_per_epoch=steps_per_epoch,
            options=options,
        )

    def summary(self, lr: float | None = None) -> Summary:
        """Gives a table of every branch and stage; ``print`` it.

        Args:
            lr: the base rate, to show rates; without it, multiples of the base rate are shown.
        """
        return summarize(self, lr)

    def _run(self, name: str, x: Any, reads: Reads) -> Features:
        backbone = self._backbone(name)
        if self.training:
            self._check_still(name)
        if name in self.prepare:
            x = self.prepare[name](x)
        try:
            backbone.check_input(x)
            features: Features = backbone(x, reads)
        except DataError as error:
            raise DataError(f"branch {name!r} ({self._title(name)}) {error}") from error
        except torch.OutOfMemoryError:
            raise
        except CRASHES as error:
            shape = f" of shape {tuple(x.shape)}" if isinstance(x, Tensor) else ""
            raise DataError(
                f"branch {name!r} ({self._title(name)}) failed on an input{shape}: {error}"
            ) from error
        widths = self._widths[name] if reads.maps else ()
        check_features(name, features, reads, backbone.embed_dim, widths)
        return features

    def _check_still(self, name: str) -> None:
        for module in self._still.get(name, ()):
            if module.training:
                raise PolicyError(
                    f"branch {name!r}: a frozen {type(module).__name__} was put into train mode "
                    "by hand, so it would drift; call model.train(), which keeps frozen parts still"
                )

    def _title(self, name: str) -> str:
        return self.recipe.branches[name].backbone

    def _backbone(self, name: str) -> Backbone:
        backbone = self.branches[name]
        assert isinstance(backbone, Backbone)
        return backbone

    def _trunk(self, name: str) -> nn.Module:
        return trunk_of(self._backbone(name))


def _preprocessing(name: str, backbone: Backbone) -> Any:
    if backbone.preprocessing is None:
        raise AssemblyError(
            f"branch {name!r}: it is not known how its inputs are prepared; give "
            "Branch(preprocessing=...) or compose with preprocess='outside'"
        )
    return backbone.preprocessing.for_channels(backbone.in_channels)


def _refuse_sharing(backbones: Mapping[str, Backbone], head: FusionHead) -> None:
    """Refuses a parameter that stands in two branches: freezing one would freeze the other."""
    owners: dict[int, str] = {}
    modules: list[tuple[str, nn.Module]] = [*backbones.items(), ("head", head)]
    for name, module in modules:
        for path, parameter in module.named_parameters():
            owner = owners.setdefault(id(parameter), name)
            if owner != name:
                raise AssemblyError(
                    f"branches {owner!r} and {name!r} share the parameter {path!r}; a factory "
                    "must build a new backbone at each call"
                )
