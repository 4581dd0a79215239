"""Puts tensors into a module: all planned first, then copied, so that a refusal changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from fusionkit.errors import CheckpointError, did_you_mean

__all__ = ["LoadReport", "load_tensors"]


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
            hint = did_you_mean(self.unexpected[0], self.missing or self.loaded)
            said.append(
                f"{len(self.unexpected)} that the model does not have "
                f"({_some(self.unexpected)}).{hint}"
            )
        return "; ".join(said)


def load_tensors(
    module: nn.Module, tensors: Mapping[str, Tensor], source: str, ignore: Sequence[str] = ()
) -> LoadReport:
    """Copies tensors into the parameters and buffers of the same names.

    Args:
        module: what is filled; unchanged if anything does not fit.
        tensors: by name; floating-point types are converted to the module's, others must agree.
        source: the file's name for messages.
        ignore: globs over names of the file that may be left out.

    Raises:
        CheckpointError: a name is missing, unexpected, of another shape or kind, or not finite
            where two tied names disagree.
    """
    targets = module.state_dict(keep_vars=True)
    report = _plan(targets, tensors, ignore)
    problems = report.problems()
    if problems:
        raise CheckpointError(f"{source} does not fit: {problems}")
    _check_kinds(targets, tensors, report, source)
    with torch.no_grad():
        for name in report.loaded:
            targets[name].copy_(tensors[name])
    training = module.training
    module.train(not training)  # both ways, for trunks that keep tables made from old weights
    module.train(training)
    return report


def _plan(
    targets: Mapping[str, Tensor], tensors: Mapping[str, Tensor], ignore: Sequence[str]
) -> LoadReport:
    unknown = [name for name in tensors if name not in targets]
    ignored = [name for name in unknown if any(fnmatchcase(name, glob) for glob in ignore)]
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
        ignored=tuple(ignored),
        converted=tuple(converted),
    )


def _check_kinds(
    targets: Mapping[str, Tensor], tensors: Mapping[str, Tensor], report: LoadReport, source: str
) -> None:
    for name, theirs, ours in report.converted:
        if not (tensors[name].is_floating_point() and targets[name].is_floating_point()):
            raise CheckpointError(
                f"{source}: {name!r} holds {theirs}, the model {ours}; only floating-point types "
                "are converted"
            )
    first: dict[int, str] = {}
    for name in report.loaded:
        tied = first.setdefault(id(targets[name]), name)
        if tied != name and not torch.equal(tensors[tied], tensors[name]):
            raise CheckpointError(
                f"{source}: {tied!r} and {name!r} are one tensor in the model, but differ"
            )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
