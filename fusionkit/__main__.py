"""``python -m fusionkit``: the ``fusionkit`` command, where its script is not on the path."""

from __future__ import annotations

from fusionkit.cli.main import run

if __name__ == "__main__":
    run()
