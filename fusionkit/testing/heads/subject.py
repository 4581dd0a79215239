"""``HeadSubject``: a head under test, tried with all sets of branches once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from fusionkit.errors import AssemblyError, ConfigError, FusionKitError
from fusionkit.features import Features, Reads
from fusionkit.head import FusionHead, HeadInput
from fusionkit.plugins.guard import undo_side_effects
from fusionkit.testing.check import Finding, describe_error
from fusionkit.testing.heads.situations import NAMES, Situation, draw_features, make_situations
from fusionkit.testing.perturb import perturb
from fusionkit.testing.seed import set_seed
from fusionkit.testing.surroundings import put_back
from fusionkit.testing.words import some

__all__ = ["HeadCase", "HeadSubject", "Trial", "misfit", "takes_logits", "try_situation"]

REFUSE = (
    "refuse what it cannot take with fusionkit.ConfigError or fusionkit.AssemblyError when it is "
    "built, or take it"
)


@dataclass(frozen=True, slots=True)
class HeadCase:
    """A head in one situation that it takes.

    Attributes:
        make: the factory.
        situation: what it is built for.
        reads: what the head reads of each branch, with its levels resolved.
    """

    make: Callable[..., Any]
    situation: Situation
    reads: Mapping[str, Reads]

    @property
    def title(self) -> str:
        """The situation, in words."""
        return self.situation.title

    @property
    def inputs(self) -> Mapping[str, HeadInput]:
        """What the branches offer."""
        return self.situation.inputs

    @property
    def reads_maps(self) -> bool:
        """Whether the head reads maps of some branch."""
        return any(reads.levels for reads in self.reads.values())

    def build(self, seed: int = 0, **options: Any) -> FusionHead:
        """Gives a head of one's own, perturbed, in eval mode; the same seed gives the same one."""
        set_seed(seed)
        head: FusionHead = self.make(
            dict(self.inputs), num_classes=self.situation.num_classes, **options
        )
        if isinstance(head, FusionHead) and not any(map(is_lazy, head.parameters())):
            perturb(head, seed)
            head.eval()
        return head

    def features(self, **drawn: Any) -> dict[str, Features]:
        """Gives exactly what the head reads; see ``draw_features``."""
        return draw_features(self.inputs, self.reads, **drawn)

    def run(self, head: FusionHead, features: Mapping[str, Features]) -> Tensor:
        """Gives the head's answer, without gradients, in the mode it is in."""
        with torch.no_grad():
            answer: Tensor = head(features)
        return answer

    def answer(self, **drawn: Any) -> Tensor:
        """Gives what a new head answers to new features."""
        return self.run(self.build(), self.features(**drawn))


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of offering one situation to a head.

    Attributes:
        situation: what was offered.
        built: whether it gave a head that says what it reads.
        tensors: the names and shapes of its parameters and buffers.
        case: if it works.
        refusal: the cause, if it refused.
        fault: what went wrong otherwise.
    """

    situation: Situation
    built: bool = False
    tensors: tuple[tuple[str, tuple[int, ...]], ...] = ()
    case: HeadCase | None = None
    refusal: str = ""
    fault: Finding | None = None


class HeadSubject:
    """What the checks ask: a factory, and each situation that it takes.

    Attributes:
        make: the factory.
        situations: all that it is offered.
        free_names: whether branches may have any name; not where they were given.
        changes: what the first heads that it built changed of what everybody shares; put back.
    """

    def __init__(
        self,
        make: Callable[..., Any],
        *,
        branches: Sequence[str] | Mapping[str, HeadInput] = NAMES,
    ) -> None:
        if isinstance(branches, str) or not branches:
            raise ConfigError(
                "branches is a list of names, or HeadInput by name, for example "
                f"branches=('flow', 'rgb'); got {branches!r:.80}"
            )
        self.make = make
        self.situations = make_situations(branches)
        self.free_names = branches is NAMES
        self.changes: tuple[str, ...] = ()

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """What came of each situation."""
        with undo_side_effects() as broad, put_back() as notes:
            trials = tuple(try_situation(self.make, situation) for situation in self.situations)
        broad = [note.removeprefix("changed ") for note in broad if "torch's" not in note]
        self.changes = tuple(dict.fromkeys([*notes, *broad]))
        return trials

    @property
    def all_cases(self) -> tuple[HeadCase, ...]:
        """The situations that work."""
        return tuple(trial.case for trial in self.trials if trial.case is not None)

    @cached_property
    def cases(self) -> tuple[HeadCase, ...]:
        """The situations that work and differ.

        A head that says it reads no logits is the same for branches with classifiers and without,
        as long as it keeps its word; so is one that reads no maps for a branch that has none.
        """
        different: dict[Any, HeadCase] = {}
        for trial in self.trials:
            if trial.case is not None:
                different.setdefault((_seen(trial.case), trial.tensors), trial.case)
        return tuple(different.values())

    @property
    def main(self) -> HeadCase:
        """The case with the most branches, for questions that are asked once."""
        return max(self.cases, key=lambda case: len(case.inputs))

    @property
    def factory(self) -> Callable[..., Any]:
        """The factory without what ``functools.partial`` sets."""
        return _unwrap(self.make)[0]

    @property
    def options(self) -> dict[str, Any]:
        """The options that ``functools.partial`` sets."""
        return _unwrap(self.make)[1]


def _seen(case: HeadCase) -> tuple[tuple[str, HeadInput, Reads], ...]:
    """Gives what a head sees of its branches, if it is as good as its word."""
    return tuple(
        (
            name,
            replace(
                given,
                num_classes=given.num_classes if case.reads[name].logits else None,
                levels=given.levels if case.reads[name].levels else (),
            ),
            case.reads[name],
        )
        for name, given in case.inputs.items()
    )


def try_situation(make: Callable[..., Any], situation: Situation) -> Trial:
    """Gives what comes of building a head for a situation, and running it once."""
    case = HeadCase(make, situation, {})
    try:
        head: object = case.build()
    except FusionKitError as error:
        return Trial(situation, refusal=str(error))
    except Exception as error:  # a stranger's code raises what it likes; all of it is told
        return Trial(situation, fault=Finding(describe_error(error), REFUSE))
    fault = _unlike_a_head(head)
    if fault is not None:
        return Trial(situation, fault=fault)
    assert isinstance(head, FusionHead)
    try:
        reads = {name: _resolve(head, name, each) for name, each in situation.inputs.items()}
    except AssemblyError as error:
        return Trial(situation, refusal=str(error))
    except ConfigError as error:
        return Trial(situation, fault=Finding(str(error), "set self.reads in __init__"))
    case = HeadCase(make, situation, reads)
    tensors = tuple((name, tuple(value.shape)) for name, value in head.state_dict().items())
    return Trial(situation, True, tensors, *_judge(case))


def _unlike_a_head(head: object) -> Finding | None:
    if not isinstance(head, FusionHead):
        return Finding(
            f"the factory gave {type(head).__name__}",
            "return an instance of a subclass of fusionkit.FusionHead",
        )
    lazy = [name for name, value in head.named_parameters() if is_lazy(value)]
    if lazy:
        return Finding(
            f"{some(lazy)} has no shape yet",
            "take widths from inputs[name].embed_dim and .levels instead of lazy layers",
        )
    return None


def _judge(case: HeadCase) -> tuple[HeadCase | None, str, Finding | None]:
    try:
        answer: object = case.answer(extra="filled")
    except Exception as error:  # as above
        todo = (
            "make forward(features) work on the features that `reads` asks for: .vector 'b d', "
            ".maps with one 'b c h w' for each level that is read, .logits 'b k'"
        )
        return None, "", Finding(describe_error(error), todo)
    fault = misfit(answer, 4, case.situation.num_classes)
    return (case, "", None) if fault is None else (None, "", fault)


def misfit(answer: object, batch: int, num_classes: int) -> Finding | None:
    """Gives what is wrong with an answer that should be "b k" and finite, if anything is."""
    due = (batch, num_classes)
    if not isinstance(answer, Tensor):
        return Finding(
            f"forward gave {type(answer).__name__}", "return one tensor 'b k' from forward"
        )
    if tuple(answer.shape) != due or not answer.is_floating_point():
        return Finding(
            f"the answer is {answer.dtype} of shape {tuple(answer.shape)}, not {due}",
            "return scores 'b k' for a batch of b and num_classes=k; no squeeze()",
        )
    if answer.dtype == torch.float64:
        return Finding(
            "the answer is float64 for features in float32",
            "make constants in the dtype of the features: torch.tensor(..., dtype=x.dtype)",
        )
    if not bool(answer.isfinite().all()):
        count = int((~answer.isfinite()).sum())
        return Finding(
            f"{count} of {answer.numel()} values of the answer are NaN or infinite",
            "look for logarithms and quotients of zero, and exponentials without log_softmax",
        )
    return None


def _resolve(head: FusionHead, name: str, given: HeadInput) -> Reads:
    """Gives what a head reads of one branch.

    Raises:
        ConfigError: it does not say.
        AssemblyError: the branch has not what it reads.
    """
    reads: Any = getattr(head, "reads", None)
    if isinstance(reads, Mapping):
        reads = reads.get(name)
    if isinstance(reads, str):
        reads = Reads.parse(reads)
    if not isinstance(reads, Reads):
        raise ConfigError(
            f"reads is {reads!r:.80} for branch {name!r}; it is 'vector', 'maps', 'logits' or a "
            "fusionkit.Reads"
        )
    if reads.logits and given.num_classes is None:
        raise AssemblyError(f"it reads logits, and branch {name!r} has no classifier")
    return reads.resolve(len(given.levels))


def takes_logits(make: Any) -> bool:
    """Tells what the class or factory says of the logits of branches that have them."""
    return bool(getattr(_unwrap(make)[0], "takes_logits", False))


def _unwrap(make: Any) -> tuple[Callable[..., Any], dict[str, Any]]:
    options: dict[str, Any] = {}
    while isinstance(make, partial):
        options = {**make.keywords, **options}
        make = make.func
    return make, options
