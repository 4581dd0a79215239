"""``fusionkit new-plugin NAME``: a complete, tested plugin to start from."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from fusionkit.cli.terminal import open_console

__all__ = ["new_plugin"]


def new_plugin(
    name: Annotated[str, typer.Argument(help="What it is called, such as spiral-net.")],
    directory: Annotated[
        Path, typer.Option(help="Where the folder fusionkit-NAME is made.")
    ] = Path(),
    author: Annotated[
        str, typer.Option(help="For its licence, as 'Ada Lovelace <ada@example.org>'.")
    ] = "",
) -> None:
    """Write a plugin to start from: a backbone, a head, tests, packaging."""
    from fusionkit.scaffold.author import Author
    from fusionkit.scaffold.fill import fill_templates
    from fusionkit.scaffold.names import PluginNames, refuse_clash
    from fusionkit.scaffold.write import write_folder

    names = PluginNames.parse(name)
    writer = Author.parse(author or f"The {names.distribution} authors")
    refuse_clash(names)
    folder = directory / names.distribution
    files = fill_templates(names, writer)
    write_folder(folder, files)
    open_console().print(
        f"Wrote {len(files)} files to {folder}: the backbone {names.plugin}/reversible and the "
        f"head {names.plugin}/gated,\nboth to be replaced by yours. Next:\n\n"
        f"  cd {quote(str(folder))}\n"
        '  pip install -e ".[dev]"\n'
        "  pytest",
        soft_wrap=True,
    )
