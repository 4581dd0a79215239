"""``Freeze``: which part of a branch learns at which epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fusionkit.errors import PolicyError, did_you_mean
from fusionkit.numbers import is_count
from fusionkit.policy.patterns import are_patterns, listed, matches, near
from fusionkit.policy.slots import Anatomy

__all__ = ["Freeze"]

Rule = Literal["all", "none", "last", "until", "only", "gradual"]
Mode = Literal["follow", "eval"]

RULES: tuple[Rule, ...] = ("all", "none", "last", "until", "only", "gradual")

FIELDS = {
    "count": ("last", None),
    "stage": ("until", None),
    "patterns": ("only", ()),
    "start": ("gradual", 0),
    "every": ("gradual", 1),
    "stages": ("gradual", 1),
}
"""Which rule each field belongs to, and its value under every other rule."""


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
        start: the epoch, counted from 0, at which the first stages thaw (``gradual``).
        every: epochs between thaws (``gradual``).
        stages: how many stages thaw at a time (``gradual``).
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
        for field, (rule, unset) in FIELDS.items():
            if rule != self.rule and getattr(self, field) != unset:
                raise PolicyError(f"Freeze.{self.rule} takes no {field}; Freeze.{rule} does")
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
        if self.rule == "gradual":
            for field, least in (("every", 1), ("start", 0), ("stages", 1)):
                if not is_count(getattr(self, field), least):
                    raise PolicyError(
                        f"Freeze.gradual takes {field} >= {least} as a whole number, "
                        f"got {getattr(self, field)!r:.80}"
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

    def learning_stages(self, names: tuple[str, ...], epoch: int) -> int:
        """Gives how many of the last stages learn at ``epoch``; for ``only``, all of them.

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
            if epoch < self.start:
                return 0
            return min(total, self.stages * (1 + (epoch - self.start) // self.every))
        return total

    def learning(self, anatomy: Anatomy, epoch: int) -> frozenset[str]:
        """Gives the names of the parameters that learn at ``epoch``: a pure function.

        Raises:
            PolicyError: the policy does not fit the branch, or a pattern matches nothing.
        """
        first = len(anatomy.stages) - self.learning_stages(anatomy.stages, epoch)
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

    def thaw_epoch(self, stage: int, stage_count: int) -> int:
        """Gives the epoch at which a stage begins to learn; 0 where the epoch changes nothing."""
        if self.rule != "gradual":
            return 0
        from_last = stage_count - 1 - stage
        return self.start + self.every * (from_last // self.stages)
