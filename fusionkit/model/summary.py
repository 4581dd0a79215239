"""The table that says what a model is made of and what of it learns, how fast, and from when."""

from __future__ import annotations

from dataclasses import dataclass
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from torch import nn

from fusionkit.model.anatomy import trunk_of
from fusionkit.model.table import layout

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from fusionkit.model.fused import FusedModel
    from fusionkit.model.part import Part

__all__ = ["Summary", "SummaryRow", "summarize"]


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One line: a branch, a stage of one, the head, or the whole.

    Attributes:
        branch: the branch's name, ``"head"`` or ``"total"``.
        stage: the stage's name; empty for the line of the whole branch.
        parameters: how many there are.
        trainable: how many of them learn now.
        rate: (lowest, highest) learning rate, or multiple of the base rate; ``None`` where
            nothing learns or the line stands for several stages.
        note: what is frozen and until when, or what the branch is and takes. What never learns
            was fixed by its author, or nothing that the head reads depends on it.
    """

    branch: str
    stage: str
    parameters: int
    trainable: int
    rate: tuple[float, float] | None
    note: str


@dataclass(frozen=True, slots=True)
class Summary:
    """A table to print; ``rows`` has the same as data.

    Attributes:
        rows: in the order of the table.
        epoch: for which what learns is shown.
        absolute: whether rates are learning rates rather than multiples of the base rate.
    """

    rows: tuple[SummaryRow, ...]
    epoch: int
    absolute: bool

    def __str__(self) -> str:
        width = min(100, get_terminal_size(fallback=(100, 24)).columns)
        return "\n".join(text for text, _ in layout(self, width))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        for text, style in layout(self, options.max_width):
            yield Text(text, style, no_wrap=True)


def summarize(model: FusedModel, lr: float | None) -> Summary:
    """Gives the summary for ``FusedModel.summary``, whose docstring says what it takes."""
    base = 1.0 if lr is None else lr
    rows: list[SummaryRow] = []
    for name, part in model.parts.items():
        rows += _branch_rows(model, name, part, base)
    head = list(model.head.parameters())
    count = sum(parameter.numel() for parameter in head)
    learning = sum(parameter.numel() for parameter in head if parameter.requires_grad)
    rows.append(SummaryRow("head", "", count, learning, (base, base), _head_note(model)))
    everything = list(model.parameters())
    rows.append(
        SummaryRow(
            "total",
            "",
            sum(parameter.numel() for parameter in everything),
            sum(parameter.numel() for parameter in everything if parameter.requires_grad),
            None,
            "",
        )
    )
    return Summary(tuple(rows), model.epoch, lr is not None)


def _branch_rows(model: FusedModel, name: str, part: Part, base: float) -> list[SummaryRow]:
    backbone = model.get_submodule(f"branches.{name}")
    parameters = dict(trunk_of(backbone).named_parameters())  # type: ignore[arg-type]
    rows = []
    for index, stage in enumerate(part.anatomy.stages):
        slots = [slot for slot in part.anatomy.slots if slot.stage == index]
        sizes = {slot.name: parameters[slot.name].numel() for slot in slots}
        learning = sum(sizes[key] for key in sizes if parameters[key].requires_grad)
        thaws = part.thaw_epoch(index)
        awaited = part.learnable if thaws is None else part.learning(max(model.epoch, thaws))
        rates = [base * part.rate(slot) for slot in slots if slot.name in awaited]
        rows.append(
            SummaryRow(
                name,
                stage,
                sum(sizes.values()),
                learning,
                (min(rates), max(rates)) if rates else None,
                _stage_note(model, part, index, learning, sum(sizes.values())),
            )
        )
    whole = SummaryRow(
        name,
        "",
        sum(row.parameters for row in rows),
        sum(row.trainable for row in rows),
        None,
        _branch_note(model, name, backbone),
    )
    return [whole, *rows]


def _stage_note(model: FusedModel, part: Part, index: int, learning: int, total: int) -> str:
    names = {slot.name for slot in part.anatomy.slots if slot.stage == index}
    if names and not names & part.learnable:
        return "never learns"
    if learning == total:
        return ""
    thaws = part.thaw_epoch(index)
    if thaws is None:
        return f"frozen until {part.branch.freeze.metric} stalls"
    if thaws > model.epoch:
        return f"frozen until epoch {thaws}"
    if names & part.learnable <= part.learning(model.epoch):
        return "part never learns"
    return "frozen" if not learning else "partly frozen"


def _branch_note(model: FusedModel, name: str, backbone: nn.Module) -> str:
    branch = model.recipe.branches[name]
    weights = getattr(backbone, "weights", None) or "random weights"
    report = model.load_reports.get(name)
    if report is not None and (exceptions := report.exceptions()):
        weights += f": {exceptions}"
    prepared = getattr(backbone, "preprocessing", None)
    size = getattr(backbone, "fixed_size", None) or (prepared.size if prepared else None)
    shape = f", {branch.in_channels} x {size[0]} x {size[1]}" if size else ""
    return f"{branch.backbone} ({weights}), input {branch.input!r}{shape}"


def _head_note(model: FusedModel) -> str:
    reads = sorted({kind for part in model.parts.values() for kind in _kinds(part)})
    return f"{model.recipe.head.name}, reads {' and '.join(reads)}"


def _kinds(part: Part) -> list[str]:
    reads = part.reads
    kinds = {"vectors": reads.vector, "maps": bool(reads.maps), "logits": reads.logits}
    return [kind for kind, read in kinds.items() if read]
