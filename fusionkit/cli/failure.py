"""What a person reads when a command fails, and the code that a program reads."""

from __future__ import annotations

import traceback

from rich.text import Text

from fusionkit.cli.terminal import open_console
from fusionkit.errors import (
    CheckpointError,
    DataError,
    DistributedError,
    FusionKitError,
    PluginError,
    ResumeError,
    TrainingError,
)

__all__ = ["report"]

BUG = 1
REFUSED = 2
CODES: tuple[tuple[type[FusionKitError], int], ...] = (
    (PluginError, 3),
    (CheckpointError, 4),
    (DataError, 5),
    (ResumeError, 6),
    (TrainingError, 7),
    (DistributedError, 7),
)


def report(error: Exception, *, debug: bool) -> int:
    """Writes one message to stderr and gives the exit code.

    Args:
        error: anything else than a ``FusionKitError`` counts as a bug of fusionkit's.
        debug: whether the traceback is shown too.
    """
    console = open_console(stderr=True)
    if debug:
        console.print(Text("".join(traceback.format_exception(error)).rstrip()), soft_wrap=True)
    if isinstance(error, FusionKitError):
        title, message = "error", str(error)
        code = next((code for kind, code in CODES if isinstance(error, kind)), REFUSED)
    else:
        title, code = "bug", BUG
        message = f"fusionkit did not expect this: {type(error).__name__}: {error}"
        if not debug:
            message += "\nThe same command with --debug shows where; please report it."
    console.print(Text.assemble((f"{title}: ", "bold red"), message))
    return code
