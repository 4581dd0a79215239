"""Puts tensors into a module: all planned first, then copied, so that a refusal changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from fusionkit.errors import LONGEST_NAME, CheckpointError
from fusionkit.tensors.prefix import explain_prefix
from fusionkit.tensors.refresh import drop_old_tables
from fusionkit.tensors.state import nonfinite_problem, state_of

__all__ = ["LoadReport", "load_tensors"]

ALIKE = 0.8
"""Layers' names are alike anyway, so that only a much nearer one is worth telling."""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What became of every name on both sides.

    Attributes:
        loaded: names that were copied.
        missing: names of the module that the file does not have.
        unexpected: names of the file that the module does not have.
        mismatched: (name, shape in the file, shape in the module).
        ignored: names of the file that were left out as was allowed.
        converted: (name, type in the file, type in the module).
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    ignored: tuple[str, ...]
    converted: tuple[tuple[str, str, str], ...]

    def problems(self) -> str:
        """Says what does not fit, or gives an empty string."""
        said = []
        if self.mismatched:
            name, theirs, ours = self.mismatched[0]
            said.append(
                f"{len(self.mismatched)} of another shape ({name}: {theirs} in the file, "
                f"{ours} in the model)"
            )
        if self.missing:
            said.append(f"{len(self.missing)} missing in the file ({_some(self.missing)})")
        if self.unexpected:
            said.append(
                f"{len(self.unexpected)} that the model does not have ({_some(self.unexpected)})"
            )
        if not said:
            return ""
        hint = explain_prefix(self.unexpected, self.missing)
        if self.unexpected and not hint:
            hint = _nearest(self.unexpected[0], self.missing)
        return "; ".join(said) + (f".{hint}" if hint else "")


def load_tensors(
    module: nn.Module, tensors: Mapping[str, Tensor], source: str, ignore: Sequence[str] = ()
) -> LoadReport:
    """Copies tensors into the parameters and buffers of the same names.

    The parameters stay the objects that they are, on their device, with their type, their
    ``requires_grad`` and their ties, so that an optimizer made before goes on with them.

    Args:
        module: what is filled; unchanged if anything does not fit.
        tensors: by name; floating-point types are converted to the module's, others must agree.
        source: the file's name for messages.
        ignore: globs over names of the file that may be left out.

    Raises:
        CheckpointError: a name is missing, unexpected, of another shape or kind, holds values
            that are not finite, or two names of one tied tensor disagree. Infinities are
            allowed in buffers, where masks have them.
    """
    try:
        targets = state_of(module)
    except CheckpointError as error:
        raise CheckpointError(f"cannot load {source}: {error}") from error
    report = _plan(targets, tensors, ignore)
    problems = report.problems()
    if problems:
        raise CheckpointError(f"{source} does not fit: {problems}")
    values = _convert(targets, tensors, report, source)
    _check_values(targets, values, source)
    with torch.no_grad():
        for name, value in values.items():
            targets[name].copy_(value)
    drop_old_tables(module)
    return report


def _plan(
    targets: Mapping[str, Tensor], tensors: Mapping[str, Tensor], ignore: Sequence[str]
) -> LoadReport:
    unknown = [name for name in tensors if name not in targets]
    ignored = {name for name in unknown if any(fnmatchcase(name, glob) for glob in ignore)}
    both = [name for name in targets if name in tensors]
    mismatched = [
        (name, tuple(tensors[name].shape), tuple(targets[name].shape))
        for name in both
        if tensors[name].shape != targets[name].shape
    ]
    converted = [
        (name, str(tensors[name].dtype), str(targets[name].dtype))
        for name in both
        if tensors[name].dtype != targets[name].dtype
    ]
    given = {id(targets[name]) for name in both}
    return LoadReport(
        loaded=tuple(both),
        missing=tuple(
            name
            for name, value in targets.items()
            if name not in tensors and id(value) not in given
        ),
        unexpected=tuple(name for name in unknown if name not in ignored),
        mismatched=tuple(mismatched),
        ignored=tuple(name for name in unknown if name in ignored),
        converted=tuple(converted),
    )


def _convert(
    targets: Mapping[str, Tensor], tensors: Mapping[str, Tensor], report: LoadReport, source: str
) -> dict[str, Tensor]:
    """Gives what will be copied, in the module's own types."""
    values = {name: tensors[name] for name in report.loaded}
    for name, theirs, ours in report.converted:
        if not (values[name].is_floating_point() and targets[name].is_floating_point()):
            raise CheckpointError(
                f"{source}: {name!r:.200} holds {theirs}, the model {ours}; only floating-point "
                "types are converted"
            )
        values[name] = values[name].to(targets[name].dtype)
        if _overflows(tensors[name], values[name]):
            raise CheckpointError(
                f"{source}: {name!r:.200} holds {theirs}, and some of its values are too large "
                f"for the model's {ours}"
            )
    return values


def _check_values(targets: Mapping[str, Tensor], values: Mapping[str, Tensor], source: str) -> None:
    first: dict[int, str] = {}
    for name, value in values.items():
        target = targets[name]
        problem = nonfinite_problem(value, isinstance(target, nn.Parameter))
        if problem:
            raise CheckpointError(
                f"{source}: {name!r:.200} {problem}; the file is damaged, or its training diverged"
            )
        tied = first.setdefault(id(target), name)
        if tied != name and not torch.equal(values[tied], value):
            raise CheckpointError(
                f"{source}: {tied!r:.200} and {name!r:.200} are one tensor in the model, but "
                "differ in the file"
            )


def _nearest(theirs: str, ours: Sequence[str]) -> str:
    """Gives a sentence, without its full stop, on the one name that can hardly be another."""
    if len(theirs) > LONGEST_NAME:
        return ""
    near = get_close_matches(theirs, ours, n=1, cutoff=ALIKE)
    return f" What is nearest to {theirs!r} in the model is {near[0]!r}" if near else ""


def _overflows(before: Tensor, after: Tensor) -> bool:
    # By way of doubles, since torch 2.11 cannot ask the small floats themselves.
    return bool(after.double().isinf().any()) and not bool(before.double().isinf().any())


def _some(names: Sequence[str]) -> str:
    shown = [name if len(name) <= 100 else name[:100] + "..." for name in names[:3]]
    return ", ".join(shown) + (", ..." if len(names) > 3 else "")
