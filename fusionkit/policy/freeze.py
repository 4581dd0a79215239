"""``Freeze``: which part of a branch learns at which epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from fusionkit.errors import PolicyError, did_you_mean
from fusionkit.numbers import is_count, is_number
from fusionkit.policy.patterns import are_patterns, listed, matches, near
from fusionkit.policy.slots import Anatomy

__all__ = ["Freeze"]

Rule = Literal["all", "none", "last", "until", "only", "gradual", "on_plateau"]
Mode = Literal["follow", "eval"]

RULES: tuple[Rule, ...] = ("all", "none", "last", "until", "only", "gradual", "on_plateau")

FIELDS: dict[str, tuple[tuple[Rule, ...], object]] = {
    "count": (("last",), None),
    "stage": (("until",), None),
    "patterns": (("only",), ()),
    "start": (("gradual", "on_plateau"), 0),
    "every": (("gradual",), 1),
    "stages": (("gradual", "on_plateau"), 1),
    "metric": (("on_plateau",), None),
    "mode": (("on_plateau",), "min"),
    "patience": (("on_plateau",), 1),
    "min_delta": (("on_plateau",), 0.0),
}
"""Which rules each field belongs to, and its value under every other rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """Which stages of one branch are frozen at which epoch; make one with its class methods.

    Whatever the rule, a frozen part is still: its norm layers keep their statistics, its
    dropout and drop-path are off, and no optimizer moves it.

    Attributes:
        rule: the name of the class method that made it.
        count: how many of the last stages learn (``last``).
        stage: the first stage that learns (``until``).
        patterns: what learns (``only``).
        start: the epoch, counted from 0, at which the first stages thaw (``gradual``), or from
            which on epochs without progress are counted (``on_plateau``).
        every: epochs between thaws (``gradual``).
        stages: how many stages thaw at a time (``gradual``, ``on_plateau``).
        metric: the name of what has to stall (``on_plateau``).
        mode: whether less (``"min"``) or more (``"max"``) of it is progress (``on_plateau``).
        patience: how many epochs without progress thaw the next stages (``on_plateau``).
        min_delta: by how much it has to change to count as progress (``on_plateau``).
        norm: ``"follow"`` moves a norm layer's statistics exactly where its parameters learn;
            ``"eval"`` keeps all of the branch's statistics, though its norm parameters may learn.
        dropout: ``"follow"`` drops where the part learns; ``"eval"`` turns this branch's
            dropout and drop-path layers off; a dropout that a layer with parameters does within
            itself goes with that layer.
    """

    rule: Rule = "none"
    count: int | None = None
    stage: str | None = None
    patterns: tuple[str, ...] = ()
    start: int = 0
    every: int = 1
    stages: int = 1
    metric: str | None = None
    mode: Literal["min", "max"] = "min"
    patience: int = 1
    min_delta: float = 0.0
    norm: Mode = "follow"
    dropout: Mode = "follow"

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise PolicyError(f"Freeze has no rule {self.rule!r:.80}: write one of {RULES}")
        for field in ("norm", "dropout"):
            if getattr(self, field) not in ("follow", "eval"):
                raise PolicyError(
                    f"Freeze.{field} is 'follow' or 'eval', got {getattr(self, field)!r}"
                )
        for field, (rules, unset) in FIELDS.items():
            if self.rule not in rules and getattr(self, field) != unset:
                raise PolicyError(f"Freeze.{self.rule} takes no {field}; Freeze.{rules[0]} does")
        if self.rule == "last" and not is_count(self.count, least=0):
            raise PolicyError(f"Freeze.last takes a number of stages >= 0, got {self.count!r:.80}")
        if self.rule == "until" and not (isinstance(self.stage, str) and self.stage):
            raise PolicyError(
                "Freeze.until takes the name of the first stage that learns, "
                f"got {self.stage!r:.80}"
            )
        if self.rule == "only" and not are_patterns(self.patterns):
            raise PolicyError(
                "Freeze.only takes at least one of 'norm', 'bias' or a glob over parameter names, "
                f"each as an argument of its own; got {self.patterns!r:.80}"
            )
        for field, least in (("every", 1), ("start", 0), ("stages", 1), ("patience", 1)):
            if self.rule in FIELDS[field][0] and not is_count(getattr(self, field), least):
                raise PolicyError(
                    f"Freeze.{self.rule} takes {field} >= {least} as a whole number, "
                    f"got {getattr(self, field)!r:.80}"
                )
        if self.rule == "on_plateau":
            self._check_plateau()

    def _check_plateau(self) -> None:
        metric: object = self.metric
        if not (isinstance(metric, str) and metric and metric.isprintable()):
            raise PolicyError(
                "Freeze.on_plateau takes the name of the metric that has to stall, for example "
                f"'val_loss'; got {metric!r:.80}"
            )
        if self.mode not in ("min", "max"):
            raise PolicyError(
                "Freeze.on_plateau takes mode 'min' where less is better (a loss) or 'max' where "
                f"more is (an accuracy); got {self.mode!r:.80}"
            )
        if not is_number(self.min_delta) or not 0 <= self.min_delta < math.inf:
            raise PolicyError(
                "Freeze.on_plateau takes min_delta >= 0, by how much the metric has to change, "
                f"got {self.min_delta!r:.80}"
            )

    def __repr__(self) -> str:
        arguments = [repr(pattern) for pattern in self.patterns]
        if self.rule == "last":
            arguments.append(repr(self.count))
        if self.rule == "until":
            arguments.append(repr(self.stage))
        if self.rule == "gradual":
            arguments += [f"start={self.start}", f"every={self.every}"]
            arguments += [f"stages={self.stages}"] if self.stages != 1 else []
        if self.rule == "on_plateau":
            arguments += [repr(self.metric), f"patience={self.patience}"]
            arguments += [f"{name}={getattr(self, name)!r}" for name in self._beyond_defaults()]
        for field in ("norm", "dropout"):
            mode = getattr(self, field)
            arguments += [f"{field}={mode!r}"] if mode != "follow" else []
        return f"Freeze.{self.rule}({', '.join(arguments)})"

    @classmethod
    def all(cls, *, norm: Mode = "follow", dropout: Mode = "follow") -> Freeze:
        """Freezes every stage: feature extraction."""
        return cls(rule="all", norm=norm, dropout=dropout)

    @classmethod
    def none(cls, *, norm: Mode = "follow", dropout: Mode = "follow") -> Freeze:
        """Freezes nothing: fine-tuning."""
        return cls(rule="none", norm=norm, dropout=dropout)

    @classmethod
    def last(cls, count: int, *, norm: Mode = "follow", dropout: Mode = "follow") -> Freeze:
        """Lets the last ``count`` stages learn."""
        return cls(rule="last", count=count, norm=norm, dropout=dropout)

    @classmethod
    def until(cls, stage: str, *, norm: Mode = "follow", dropout: Mode = "follow") -> Freeze:
        """Freezes what comes before ``stage``, the first that learns."""
        return cls(rule="until", stage=stage, norm=norm, dropout=dropout)

    @classmethod
    def only(cls, *patterns: str, norm: Mode = "follow", dropout: Mode = "follow") -> Freeze:
        """Lets only some parameters learn, in every stage.

        Args:
            patterns: ``"norm"`` for the parameters of normalisation layers, ``"bias"`` for
                biases (BitFit, arXiv:2106.10199), else a glob over the trunk's parameter names.
            norm: see the class.
            dropout: see the class.
        """
        return cls(rule="only", patterns=patterns, norm=norm, dropout=dropout)

    @classmethod
    def gradual(
        cls,
        start: int | None = None,
        every: int = 1,
        stages: int = 1,
        *,
        norm: Mode = "follow",
        dropout: Mode = "follow",
    ) -> Freeze:
        """Thaws from the last stage to the stem (Howard and Ruder, ULMFiT, arXiv:1801.06146).

        Before epoch ``start`` only the head learns. At ``start`` the last ``stages`` stages
        thaw, and every ``every`` epochs the next ``stages``.

        Args:
            start: counted from epoch 0; by default ``every``, so that the head learns alone for
                as long as each later step lasts.
            every: epochs between thaws.
            stages: how many thaw at a time.
            norm: see the class.
            dropout: see the class.
        """
        first = every if start is None else start
        return cls(
            rule="gradual", start=first, every=every, stages=stages, norm=norm, dropout=dropout
        )

    @classmethod
    def on_plateau(
        cls,
        metric: str = "val_loss",
        patience: int = 2,
        stages: int = 1,
        *,
        mode: Literal["min", "max"] = "min",
        min_delta: float = 0.0,
        start: int = 0,
        norm: Mode = "follow",
        dropout: Mode = "follow",
    ) -> Freeze:
        """Thaws from the last stage to the stem, the next ones whenever a metric stalls.

        Only the head learns until the metric has made no progress for ``patience`` epochs; then
        the last ``stages`` stages thaw with the next epoch, and the counting begins anew. The
        metric is told to ``fusionkit.training.Unfreezing``, which loops and trainers call.

        Args:
            metric: its name, such as ``"val_loss"`` or ``"val_accuracy"``.
            patience: how many epochs without progress thaw the next stages.
            stages: how many thaw at a time.
            mode: ``"min"`` where less is progress, ``"max"`` where more is.
            min_delta: by how much the metric has to get better to count as progress.
            start: the epoch, counted from 0, from which on epochs without progress are counted.
            norm: see the class.
            dropout: see the class.
        """
        return cls(
            rule="on_plateau",
            metric=metric,
            patience=patience,
            stages=stages,
            mode=mode,
            min_delta=min_delta,
            start=start,
            norm=norm,
            dropout=dropout,
        )

    def learning_stages(
        self, names: tuple[str, ...], epoch: int, thaws: tuple[int, ...] = ()
    ) -> int:
        """Gives how many of the last stages learn at ``epoch``; for ``only``, all of them.

        Args:
            names: of the branch's stages, stem first.
            epoch: counted from 0.
            thaws: the epochs at which stages thawed on a plateau, ascending.

        Raises:
            PolicyError: the branch has no such stage, or fewer stages than asked for.
        """
        total = len(names)
        if self.rule == "all":
            return 0
        if self.rule == "last":
            assert self.count is not None
            if self.count > total:
                raise PolicyError(
                    f"Freeze.last({self.count}) asks for more stages than there are: "
                    f"{total} ({', '.join(names)}); use Freeze.none() to let all learn"
                )
            return self.count
        if self.rule == "until":
            assert self.stage is not None
            if self.stage not in names:
                hint = did_you_mean(self.stage, names) or f" The stages are {listed(names)}."
                raise PolicyError(f"Freeze.until: there is no stage {self.stage!r}.{hint}")
            return total - names.index(self.stage)
        if self.rule == "gradual":
            return min(total, self.stages * max(0, 1 + (epoch - self.start) // self.every))
        if self.rule == "on_plateau":
            total = min(total, self.stages * sum(thaw <= epoch for thaw in thaws))
        return total

    def learning(self, anatomy: Anatomy, epoch: int, thaws: tuple[int, ...] = ()) -> frozenset[str]:
        """Gives the names of the parameters that learn at ``epoch``: a pure function.

        Raises:
            PolicyError: the policy does not fit the branch, or a pattern matches nothing.
        """
        first = len(anatomy.stages) - self.learning_stages(anatomy.stages, epoch, thaws)
        reached = [slot for slot in anatomy.slots if slot.stage >= first]
        if self.rule != "only":
            return frozenset(slot.name for slot in reached)
        chosen: set[str] = set()
        for pattern in self.patterns:
            matched = {slot.name for slot in reached if matches(pattern, slot)}
            if not matched:
                raise PolicyError(
                    f"Freeze.only({pattern!r}) matches no parameter.{near(pattern, anatomy)}"
                )
            chosen |= matched
        return frozenset(chosen)

    def thaw_epoch(self, stage: int, stage_count: int, thaws: tuple[int, ...] = ()) -> int | None:
        """Gives the epoch at which a stage begins to learn; 0 where the epoch changes nothing.

        ``None`` where it awaits a plateau that has not come.
        """
        if self.rule not in ("gradual", "on_plateau"):
            return 0
        turn = (stage_count - 1 - stage) // self.stages
        if self.rule == "gradual":
            return self.start + self.every * turn
        return thaws[turn] if turn < len(thaws) else None

    def _beyond_defaults(self) -> list[str]:
        fields = ("stages", "mode", "min_delta", "start")
        return [name for name in fields if getattr(self, name) != FIELDS[name][1]]
