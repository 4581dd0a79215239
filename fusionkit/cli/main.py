"""The ``fusionkit`` command: gathers the commands and turns errors into exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from fusionkit import __version__
from fusionkit.cli.check import check
from fusionkit.cli.checkpoint import checkpoint
from fusionkit.cli.compare import compare
from fusionkit.cli.demo import demo
from fusionkit.cli.evaluate import evaluate
from fusionkit.cli.failure import report
from fusionkit.cli.fit import fit
from fusionkit.cli.info import show_info
from fusionkit.cli.list import list_names
from fusionkit.cli.new_plugin import new_plugin
from fusionkit.cli.plugins import show_plugins
from fusionkit.cli.predict import predict
from fusionkit.cli.schedule import schedule
from fusionkit.cli.terminal import show_warnings_briefly

__all__ = ["app", "run"]

EXIT_CODES = (
    "Exit codes: 0 done, 1 a bug, or a check that failed, 2 a wrong name or argument, "
    "3 a broken plugin, 4 a bad checkpoint, 5 bad data, 6 a run that cannot go on, 7 a training "
    "that failed; 128 and its number for a signal."
)

app = typer.Typer(
    name="fusionkit",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("list")(list_names)
app.command("info")(show_info)
app.command("plugins")(show_plugins)
app.command("new-plugin")(new_plugin)
app.command("check")(check)
app.command("demo")(demo)
app.command("fit")(fit)
app.command("evaluate")(evaluate)
app.command("predict")(predict)
app.command("compare")(compare)
app.command("schedule")(schedule)
app.add_typer(checkpoint, name="checkpoint")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fusionkit {__version__}")
        raise typer.Exit


@app.callback(epilog=EXIT_CODES)
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Fuse any pretrained backbones and one head into a single PyTorch module."""


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and ends the process with its exit code.

    Args:
        arguments: what stands after ``fusionkit``; by default what the process was given.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    kept = [argument for argument in given if argument != "--debug"]
    try:
        with show_warnings_briefly():
            app(args=kept, prog_name="fusionkit")
    except Exception as error:
        sys.exit(report(error, debug=debug))
    sys.exit(0)
