"""Whether there is a head at all, and for which branches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fusionkit.errors import FusionKitError
from fusionkit.testing.check import Check, Finding, NotApplicableError, check
from fusionkit.testing.heads.situations import make_many
from fusionkit.testing.heads.subject import (
    REFUSE,
    HeadCase,
    HeadSubject,
    Trial,
    misfit,
    takes_logits,
    try_situation,
)
from fusionkit.testing.words import some

__all__ = ["CHECKS", "answers", "builds"]

COUNTS = (1, 2, 1000)
MANY = 5


@check("make the factory build a fusionkit.FusionHead: make(inputs, num_classes=5)", first=True)
def builds(subject: HeadSubject) -> Iterator[Finding]:
    """The factory gives a ``fusionkit.FusionHead`` that says what it reads, for some branches."""
    built = [trial for trial in subject.trials if trial.built]
    if built:
        yield from _shared_weights(HeadCase(subject.make, built[0].situation, {}))
        return
    yield from _faults(subject.trials)
    for refusal in dict.fromkeys(trial.refusal for trial in subject.trials if trial.refusal):
        yield Finding(
            f"it refuses: {refusal}",
            "build a head for some set of branches; where options name branches, give the same "
            "names to check_head(make, branches=('flow', 'rgb'))",
        )


def _shared_weights(case: HeadCase) -> Iterator[Finding]:
    one, other = case.build(), case.build()
    theirs = {id(value) for value in other.parameters()}
    shared = [name for name, value in one.named_parameters() if id(value) in theirs]
    if shared:
        yield Finding(
            f"two heads share {some(shared)}",
            "make weights in __init__, not in the class, the module or a cache",
        )


@check("make forward(features) give 'b k'", first=True)
def answers(subject: HeadSubject) -> Iterator[Finding]:
    """A forward pass in eval mode gives finite scores "b k", for some branches."""
    if not subject.cases:
        yield from _faults(subject.trials)


def _faults(trials: tuple[Trial, ...]) -> Iterator[Finding]:
    yield from dict.fromkeys(trial.fault for trial in trials if trial.fault is not None)


def _tell(trials: Sequence[Trial]) -> Iterator[Finding]:
    """Tells how situations went, of which there is one at least."""
    for trial in trials:
        if trial.fault is not None:
            yield Finding(f"{trial.fault.what} (with {trial.situation.title})", trial.fault.todo)
    if all(trial.refusal for trial in trials):
        raise NotApplicableError(f"it refuses: {trials[0].refusal}")


def _ask_situations(name: str, promise: str, *titles: str) -> Check[HeadSubject]:
    """Makes a check that tells how the situations of these titles went."""

    def ask(subject: HeadSubject) -> Iterator[Finding]:
        trials = [trial for trial in subject.trials if trial.situation.title in titles]
        if not trials:
            raise NotApplicableError("too few names of branches were given")
        yield from _tell(trials)

    return Check(name, promise, ask, REFUSE)


one_branch = _ask_situations(
    "one_branch", "It works for a single branch, or refuses it when it is built.", "1 branch"
)
two_branches = _ask_situations(
    "two_branches",
    "It works for two branches of unequal widths and maps, or refuses them.",
    "2 branches",
)
three_branches = _ask_situations(
    "three_branches", "It works for three branches, or refuses them.", "3 branches"
)


@check(REFUSE)
def many_branches(subject: HeadSubject) -> Iterator[Finding]:
    """It works for five branches, with other names, or refuses them when it is built."""
    if not subject.free_names:
        raise NotApplicableError("it was given branches of its own")
    yield from _tell([try_situation(subject.make, make_many(MANY))])


stock_classifiers = _ask_situations(
    "stock_classifiers",
    "It works where all branches or some have logits of their own, or refuses that.",
    "1 branch with classifiers",
    "2 branches with classifiers",
    "3 branches with classifiers",
    "3 branches, some with classifiers",
)
equal_branches = _ask_situations(
    "equal_branches",
    "It works where two branches offer the same.",
    "2 equal branches",
    "2 equal branches with classifiers",
)
branch_without_maps = _ask_situations(
    "branch_without_maps",
    "It works where a branch has no maps, or refuses that when it is built.",
    "2 branches, one without maps",
)


@check("pass num_classes on to the last layer; refuse a number with fusionkit.ConfigError")
def any_number_of_classes(subject: HeadSubject) -> Iterator[Finding]:
    """It gives "b k" for one class, two and many."""
    refusals = []
    for count in COUNTS:
        situation = subject.main.situation.with_classes(count)
        case = HeadCase(subject.make, situation, subject.main.reads)
        try:
            answer = case.answer()
        except FusionKitError as error:
            refusals.append(str(error))
            continue
        fault = misfit(answer, 4, count)
        if fault is not None:
            yield Finding(f"{fault.what} (with num_classes={count})", fault.todo)
    if len(refusals) == len(COUNTS):
        yield Finding(f"it refuses 1, 2 and 1000 classes: {refusals[0]}", "take any number")


@check("set takes_logits = True on the class (or factory) of a head that can read logits")
def says_whether_it_takes_logits(subject: HeadSubject) -> Iterator[Finding]:
    """``takes_logits`` says whether it reads the logits of a branch that has them."""
    said = takes_logits(subject.make)
    read = any(reads.logits for case in subject.cases for reads in case.reads.values())
    if read and not said:
        yield Finding(
            "it reads logits, and its class or factory has no takes_logits = True, so that "
            "branches are built without their classifiers",
            "set takes_logits = True on the class (or factory)",
        )
    if said and not read:
        yield Finding(
            "takes_logits is True, and it never reads logits, so that branches keep classifiers "
            "that nobody reads",
            "set self.reads to 'logits' for branches whose inputs[name].num_classes is "
            "num_classes, or leave takes_logits out",
        )


@check("write a docstring whose first line says what the head is")
def says_what_it_is(subject: HeadSubject) -> Iterator[Finding]:
    """The first line of the docstring is one sentence, for ``fusionkit list`` to show."""
    text = getattr(subject.factory, "__doc__", None)
    if getattr(subject.factory, "__name__", "") == "<lambda>":  # a wrapper made for the check
        text = type(subject.main.build()).__doc__
    line = (text or "").strip().partition("\n")[0].strip()
    if not line:
        yield Finding("it has no docstring", "write what it is, in one line that ends in a dot")
    elif not line.endswith("."):
        yield Finding(
            f"the docstring's first line is {line!r:.120}, which is no whole sentence",
            "end it with a dot, and break the line after it",
        )
    elif len(line) > 100:
        yield Finding(
            f"the docstring's first line has {len(line)} characters",
            "say what it is in at most 100, and the rest in a paragraph of its own",
        )


CHECKS: tuple[Check[HeadSubject], ...] = (
    one_branch,
    two_branches,
    three_branches,
    many_branches,
    stock_classifiers,
    equal_branches,
    branch_without_maps,
    any_number_of_classes,
    says_whether_it_takes_logits,
    says_what_it_is,
)
