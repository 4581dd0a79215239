"""``fusionkit checkpoint``: what is in a file, what it fits, and how a pickle becomes one."""

from __future__ import annotations

import typer

from fusionkit.cli.convert import convert
from fusionkit.cli.inspect import inspect
from fusionkit.cli.match import match

__all__ = ["checkpoint"]

checkpoint = typer.Typer(no_args_is_help=True)
checkpoint.command("inspect")(inspect)
checkpoint.command("match")(match)
checkpoint.command("convert")(convert)


@checkpoint.callback()
def explain() -> None:
    """Look into a checkpoint, find what it fits, or convert one."""
