"""``FusedModel``: branches and a head as one ordinary module."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, final
from weakref import ReferenceType, ref

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import Self

from fusionkit.backbone.contract import Backbone
from fusionkit.errors import PolicyError
from fusionkit.features import Features, Reads
from fusionkit.head import FusionHead
from fusionkit.model.absence import check_branch_dropout, fuse_with_dropout
from fusionkit.model.anatomy import check_unchanged, trunk_of
from fusionkit.model.compiled import forget_compiled
from fusionkit.model.diagnosis import Diagnosis, diagnose
from fusionkit.model.freezing import freeze_all_but
from fusionkit.model.given import check_given, join, narrow
from fusionkit.model.groups import build_groups, group_stages
from fusionkit.model.modes import apply_modes, minds_its_mode, plan_modes
from fusionkit.model.ownership import refuse_sharing
from fusionkit.model.part import Part, with_thaws
from fusionkit.model.prepare import preparations
from fusionkit.model.routing import route
from fusionkit.model.run import check_frozen, check_still, run_branch
from fusionkit.model.schedule import PolicyScheduler, build_scheduler
from fusionkit.model.shapes import Shape
from fusionkit.model.summary import Summary, summarize
from fusionkit.recipe.values import Recipe
from fusionkit.tensors.report import LoadReport

__all__ = ["FusedModel"]

EMBED = Reads(vector=True)


@final
class FusedModel(nn.Module):
    """Any number of backbones and a fusion head, with a policy for each; made by ``compose``.

    An ordinary module: plain PyTorch trains it, ``torch.compile`` and ``torch.export`` take it.
    What the policies freeze stays still: ``train()`` keeps frozen parts in eval mode, and their
    parameters have neither ``requires_grad`` nor a gradient. A frozen part that is set to learn
    or to train by hand is an error at the next forward pass.

    Attributes:
        recipe: what it was composed from, with what was left open decided: whether a branch
            keeps its classifier, and how its inputs are prepared.
        branches: the backbones by name, in alphabetical order.
        head: the fusion head.
        parts: what the policies know of each branch.
        epoch: the last that was set; decides what gradual policies have thawed.
        provenance: for each branch and ``"head"``, the distribution and version it came from.
    """

    keeps_no_tables: ClassVar[bool] = True

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
        self.prepare = preparations(backbones if recipe.preprocess == "inside" else {})
        self._sources = {name: part.branch.input for name, part in self.parts.items()}
        self._widths = {
            name: tuple(backbone.levels[level].channels for level in self.parts[name].reads.levels)
            for name, backbone in backbones.items()
        }
        rates = {name: branch.branch_dropout for name, branch in recipe.branches.items()}
        self._drops = {name: rates[name] for name in self.parts} if any(rates.values()) else {}
        check_branch_dropout(head, recipe.head.name, rates)
        self._still: dict[str, tuple[nn.Module, ...]] = {}
        self._frozen: dict[str, tuple[nn.Parameter, ...]] = {}
        self._awake: tuple[str, ...] = ()
        self._schedulers: tuple[ReferenceType[PolicyScheduler], ...] = ()
        refuse_sharing({**backbones, "head": head})
        self.set_epoch(0)

    def forward(self, inputs: Any, given: Mapping[str, Features] | None = None) -> Tensor:
        """Gives the head's answer, "b k".

        Args:
            inputs: one input, where all branches read the same; else a mapping by input name.
                With ``preprocess="inside"`` raw images "b c h w", uint8 or in [0, 1]. In eval
                mode inputs may be left out where the head ``takes_missing`` branches.
            given: features of frozen branches that were computed before, by branch; these do not
                run and need no input. ``fusionkit.cache`` keeps them.

        Raises:
            DataError: an input is missing, too much, or of a shape that its branch cannot take.
            PolicyError: features were given of a branch that learns.
        """
        if not given:
            return self.fuse(self.features(inputs))
        check_given(given, self.parts, self._awake if self.training else ())
        rest = () if self._may_lack(inputs) else [each for each in self.parts if each not in given]
        return self.fuse(join(given, self.features(inputs, rest), self.parts))

    def features(self, inputs: Any, only: Collection[str] | None = None) -> dict[str, Features]:
        """Gives what the head reads of each branch, by branch.

        Args:
            inputs: as for ``forward``.
            only: the branches that run; the inputs of others are not needed, nor looked at.
        """
        sources = self._sources
        if only is not None:
            inputs, sources = narrow(inputs, sources, only)
        routed = route(inputs, sources, self._refusal) if sources else {}
        return {name: self._run(name, x, self.parts[name].reads) for name, x in routed.items()}

    def fuse(self, features: Mapping[str, Features]) -> Tensor:
        """Gives the head's answer "b k" to what ``features`` gave, with branch dropout in training.

        Whoever needs features and answer runs the branches once: ``forward`` is these two.
        """
        if self.training and self._drops and len(features) > 1:
            return fuse_with_dropout(self.head, features, self._drops)
        fused: Tensor = self.head(features)
        return fused

    def embed(self, inputs: Any) -> dict[str, Tensor]:
        """Gives the pooled embedding "b d" of each branch, by branch, whatever the head reads."""
        embedded = {}
        for name, x in route(inputs, self._sources, self._refusal).items():
            vector = self._run(name, x, EMBED).vector
            assert vector is not None
            embedded[name] = vector
        return embedded

    def train(self, mode: bool = True) -> Self:
        """Puts what learns into train mode and keeps what is frozen in eval mode."""
        if not isinstance(mode, bool):
            raise ValueError(f"train takes True or False, got {mode!r}")
        super().train(mode)
        for name, part in self.parts.items():
            check_unchanged(name, self._trunk(name), part.anatomy)
            trains = plan_modes(self._backbone(name), part, part.learning(self.epoch))
            if mode:
                apply_modes(trains)
            self._still[name] = tuple(
                module for module, train in trains.items() if not train and minds_its_mode(module)
            )
        return self

    def set_epoch(self, epoch: int, thaws: Mapping[str, Sequence[int]] | None = None) -> Self:
        """Freezes and thaws what the policies say for ``epoch``, counted from 0.

        Call it between steps, for example at the start of each epoch. The optimizer needs no
        change: parameters that freeze lose their gradient, so that it skips them.

        Args:
            epoch: counted from 0.
            thaws: for branches that thaw on a plateau, at which epochs they did; those that are
                left out keep what they have. ``fusionkit.training.Unfreezing`` gives them.

        Raises:
            PolicyError: ``epoch`` is no epoch, or ``thaws`` does not fit the policies.
        """
        if not isinstance(epoch, int) or isinstance(epoch, bool) or epoch < 0:
            raise PolicyError(f"set_epoch takes the epoch, counted from 0, got {epoch!r}")
        if thaws:
            self.parts = with_thaws(self.parts, thaws)
        learning = {name: self._learning(name, epoch) for name in self.parts}
        changed = False
        for name, part in self.parts.items():
            check_unchanged(name, self._trunk(name), part.anatomy)
        for name in self.parts:
            self._frozen[name], moved = freeze_all_but(self._trunk(name), learning[name])
            changed = changed or moved
        self._awake = tuple(name for name in self.parts if learning[name])
        if changed:
            forget_compiled(type(self).forward)
        self.epoch = epoch
        for scheduler in self._schedulers:
            if (alive := scheduler()) is not None:
                alive.refresh()
        return self.train(self.training)

    @property
    def thaws(self) -> dict[str, tuple[int, ...]]:
        """At which epochs stages have thawed, by branch, of those that thaw on a plateau."""
        rules = {name: part.branch.freeze.rule for name, part in self.parts.items()}
        return {name: self.parts[name].thaws for name in rules if rules[name] == "on_plateau"}

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
        scheduler = build_scheduler(
            self,
            optimizer,
            shape,
            total_steps=total_steps,
            steps_per_epoch=steps_per_epoch,
            options=options,
        )
        self._schedulers = (*(each for each in self._schedulers if each()), ref(scheduler))
        return scheduler

    def summary(self, lr: float | None = None) -> Summary:
        """Gives a table of every branch and stage; ``print`` it.

        Args:
            lr: the base rate, to show rates; without it, multiples of the base rate are shown.
        """
        return summarize(self, lr)

    @property
    def load_reports(self) -> dict[str, LoadReport]:
        """What became of each name of the checkpoints of one's own that filled branches."""
        reports = {name: self._backbone(name).load_report for name in self.parts}
        return {name: report for name, report in reports.items() if report is not None}

    def diagnose(self, inputs: Any) -> Diagnosis:
        """Gives the scale of what each branch hands to the head, and what is not finite; print it.

        Runs in eval mode without gradients, and leaves the model as it was. The diagnosis warns
        of NaN and infinities, by branch and parameter, and of branches whose features are more
        than 100 times larger than another's.

        Args:
            inputs: as for ``forward``.
        """
        training = self.training
        self.eval()
        try:
            with torch.no_grad():
                return diagnose(self, self.features(inputs), inputs)
        finally:
            self.train(training)

    def _run(self, name: str, x: Any, reads: Reads) -> Features:
        check_still(name, self._still[name])
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            check_frozen(name, self._frozen[name])
        prepare = self.prepare[name] if name in self.prepare else None  # noqa: SIM401
        widths = self._widths[name] if reads.maps else ()
        backbone = self._backbone(name)
        return run_branch(
            name, backbone, x, reads, title=self._title(name), prepare=prepare, channels=widths
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_schedulers": ()}  # a copy has schedulers of its own

    def _learning(self, name: str, epoch: int) -> frozenset[str]:
        try:
            return self.parts[name].learning(epoch)
        except PolicyError as error:
            raise PolicyError(f"branch {name!r} ({self._title(name)}): {error}") from error

    def _may_lack(self, inputs: Any) -> bool:
        """Tells whether there is no input, and none is needed beside features that were given."""
        nothing = inputs is None or (isinstance(inputs, Mapping) and not inputs)
        return nothing and not self._refusal()

    def _refusal(self) -> str:
        """Says why no branch may be absent, or nothing if some may."""
        if not self.head.takes_missing:
            return f"the head {self.recipe.head.name!r} needs every branch"
        if self.training:
            return "in training every input is needed, and Branch(branch_dropout=...) leaves out"
        return ""

    def _title(self, name: str) -> str:
        return self.recipe.branches[name].backbone

    def _trunk(self, name: str) -> nn.Module:
        return trunk_of(self._backbone(name))

    def _backbone(self, name: str) -> Backbone:
        backbone = self.branches[name]
        assert isinstance(backbone, Backbone)
        return backbone
