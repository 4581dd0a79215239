"""``fusionkit checkpoint convert``: a pickle as a safetensors file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from fusionkit.cli.terminal import open_console, print_json
from fusionkit.errors import some_of

if TYPE_CHECKING:
    from fusionkit.checkpoint.pickles.convert import Conversion

__all__ = ["convert"]


def convert(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="What torch.save wrote, such as best.pt.")
    ],
    target: Annotated[
        Path | None,
        typer.Argument(metavar="[OUT]", help="The file to write; by default beside it."),
    ] = None,
    *,
    key: Annotated[
        str, typer.Option(help="Which state dict, such as model or ema.state_dict.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON for a program.")] = False,
) -> None:
    """Write the tensors of a pickle as a safetensors file; runs no code of the pickle's.

    It is opened by torch's weights-only loader in a process of its own, with a bound on its
    memory, and never in another way.
    """
    from fusionkit.checkpoint.pickles.convert import convert_pickle

    done = convert_pickle(source, target, key=key, force=force)
    if as_json:
        facts = asdict(done)
        print_json({**facts, "source": str(done.source), "target": str(done.target)})
    else:
        _print(done)


def _print(done: Conversion) -> None:
    console = open_console()
    console.print(
        Text.assemble("Wrote ", (str(done.target), "bold"), ", and read it back: "),
        Text(f"{done.tensors:,} tensors, {done.values:,} values."),
        sep="",
    )
    if done.key != ".":
        console.print(Text(f"From {done.key!r} of {done.source}."))
    if done.dropped:
        names = some_of([f"{name} ({kind})" for name, kind in done.dropped.items()], 5)
        console.print(Text(f"Left out, as no tensors: {names}"))
    if done.shared:
        names = some_of(done.shared, 5)
        console.print(Text(f"Written again, though one with another name's tensor: {names}"))
    console.print(Text(f"sha256 {done.sha256}", "dim"))
