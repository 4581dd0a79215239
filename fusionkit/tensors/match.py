"""Puts tensors into a module: all planned first, then copied, so that a refusal changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from fusionkit.errors import CheckpointError
from fusionkit.tensors.finite import KnownFinite
from fusionkit.tensors.refresh import drop_old_tables
from fusionkit.tensors.report import LoadReport
from fusionkit.tensors.state import nonfinite_problem, state_of

__all__ = ["load_tensors", "plan_load", "refuse_misfit"]


def load_tensors(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    source: str,
    ignore: Sequence[str] = (),
    *,
    missing: Sequence[str] = (),
    adopt: bool = False,
    finite: KnownFinite | None = None,
    targets: Mapping[str, Tensor] | None = None,
) -> LoadReport:
    """Copies tensors into the parameters and buffers of the same names.

    The parameters stay the objects that they are, on their device, with their type, their
    ``requires_grad`` and their ties, so that an optimizer made before goes on with them.

    Args:
        module: what is filled; unchanged if anything does not fit.
        tensors: by name; floating-point types are converted to the module's, others must agree.
        source: the file's name for messages.
        ignore: globs over names of the file that may be left out.
        missing: globs over names of the module that the file may lack.
        adopt: whether the module may keep the tensors themselves as its memory, where type and
            device agree; nobody else may then hold on to them.
        finite: the tensors of which it is known that their values are finite.
        targets: what ``state_of`` gave for the module, where it was asked already.

    Raises:
        CheckpointError: a name is missing, unexpected, of another shape or kind, holds values
            that are not finite, or two names of one tied tensor disagree. Infinities are
            allowed in buffers, where masks have them.
    """
    try:
        targets = state_of(module) if targets is None else targets
    except CheckpointError as error:
        raise CheckpointError(f"cannot load {source}: {error}") from error
    report = plan_load(targets, tensors, source, ignore, missing)
    refuse_misfit(report, targets, tensors)
    values = _convert(targets, tensors, report, source)
    _check_values(targets, values, source, finite or KnownFinite())
    with torch.no_grad():
        for name, value in values.items():
            target = targets[name]
            if adopt and _interchangeable(target, value):
                target.data = value
            else:
                target.copy_(value)
    drop_old_tables(module)
    return report


def _interchangeable(target: Tensor, value: Tensor) -> bool:
    """Tells whether a target's memory may be exchanged for a value's: it is nobody else's too."""
    alike = target.dtype == value.dtype and target.device == value.device
    alike = alike and target.stride() == value.stride() and target.numel() > 0
    return alike and _holders(target) == _holders(torch.empty(1))


def _holders(value: Tensor) -> int:
    """Counts who holds a tensor's memory, such as views that a module keeps beside it."""
    return int(torch._C._storage_Use_Count(value.untyped_storage()._cdata))


def plan_load(
    targets: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    source: str,
    ignore: Sequence[str],
    allowed: Sequence[str],
) -> LoadReport:
    """Says what would become of every name, from shapes and types alone.

    Args:
        targets: the module's tensors by name; tied ones are one object.
        tensors: those that are to be loaded.
        source: the file's name.
        ignore: globs over names of the file that may be left out.
        allowed: globs over names of the module that the file may lack.
    """
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
    lacking = [
        name for name, value in targets.items() if name not in tensors and id(value) not in given
    ]
    kept = {name for name in lacking if any(fnmatchcase(name, glob) for glob in allowed)}
    return LoadReport(
        source=source,
        loaded=tuple(both),
        missing=tuple(name for name in lacking if name not in kept),
        kept=tuple(name for name in lacking if name in kept),
        unexpected=tuple(name for name in unknown if name not in ignored),
        mismatched=tuple(mismatched),
        ignored=tuple(name for name in unknown if name in ignored),
        converted=tuple(converted),
    )


def refuse_misfit(
    report: LoadReport, targets: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
) -> None:
    """Refuses what shapes and types alone forbid, whether or not the tensors have values yet.

    Args:
        report: as ``plan_load`` gave it.
        targets: the module's tensors by name.
        tensors: those that are to be loaded.

    Raises:
        CheckpointError: something is missing, unexpected, of another shape or kind; or nothing
            would be loaded.
    """
    source, problems = report.source, report.problems()
    if problems:
        raise CheckpointError(f"{source} does not fit: {problems}")
    if targets and not report.loaded:
        raise CheckpointError(
            f"of {source} nothing would be loaded: what is ignored and what may be missing are "
            f"all of its {len(tensors)} tensors and all that the model has. Allow by name only "
            "what is meant; without exceptions, it is told what does not fit"
        )
    for name, theirs, ours in report.converted:
        if not (tensors[name].is_floating_point() and targets[name].is_floating_point()):
            raise CheckpointError(
                f"{source}: {name!r:.200} holds {theirs}, the model {ours}; only floating-point "
                "types are converted"
            )


def _convert(
    targets: Mapping[str, Tensor], tensors: Mapping[str, Tensor], report: LoadReport, source: str
) -> dict[str, Tensor]:
    """Gives what will be copied, in the module's own types."""
    values = {name: tensors[name] for name in report.loaded}
    for name, theirs, ours in report.converted:
        values[name] = values[name].to(targets[name].dtype)
        if _overflows(tensors[name], values[name]):
            raise CheckpointError(
                f"{source}: {name!r:.200} holds {theirs}, and some of its values are too large "
                f"for the model's {ours}"
            )
    return values


def _check_values(
    targets: Mapping[str, Tensor], values: Mapping[str, Tensor], source: str, finite: KnownFinite
) -> None:
    first: dict[int, str] = {}
    for name, value in values.items():
        target = targets[name]
        known = value in finite
        problem = "" if known else nonfinite_problem(value, isinstance(target, nn.Parameter))
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


def _overflows(before: Tensor, after: Tensor) -> bool:
    # By way of doubles, since torch 2.11 cannot ask the small floats themselves.
    return bool(after.double().isinf().any()) and not bool(before.double().isinf().any())
